import { Aws, Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { STOP_TIMEOUT } from '../check-settings.ts';
import type { DataPlane } from '../data-plane.ts';
import type { ServiceSettings } from '../settings.ts';
import type { Accelerator } from './accelerator.ts';
import type { Entrance } from './entrance.ts';
import { nodeEnvironment } from './node-environment.ts';
import { LINK_PORT, NODE_PORT, OPERATIONS_PORT } from './ports.ts';

/** Open files a task: connections, and room for everything else. Fargate's most. */
const OPEN_FILES = 1_048_576;
/** Whoever runs a node, not root; the image's own user. */
const USER = '65532:65532';

export interface NodeServiceProps {
  readonly settings: ServiceSettings;
  readonly vpc: ec2.IVpc;
  readonly entrance: Entrance;
  readonly image: ecs.ContainerImage;
  readonly role: iam.IRole;
  readonly data: DataPlane;
  /** URL under which SNS (and everybody) reaches the load balancer, without a path. */
  readonly publicUrl: string;
  /** Hints go through it too, if there is one. */
  readonly accelerator?: Accelerator;
}

/** The nodes: as many tasks as there are clients for, none with a public address. */
export class NodeService extends Construct {
  readonly cluster: ecs.Cluster;
  readonly service: ecs.FargateService;
  readonly logGroup: logs.LogGroup;

  constructor(scope: Construct, id: string, props: NodeServiceProps) {
    super(scope, id);
    const { settings, entrance } = props;
    this.logGroup = new logs.LogGroup(this, 'Logs', {
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.cluster = this.makeCluster(props);
    this.service = new ecs.FargateService(this, 'Service', {
      cluster: this.cluster,
      taskDefinition: this.task(props),
      assignPublicIp: false,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS },
      securityGroups: [this.group(props)],
      platformVersion: ecs.FargatePlatformVersion.VERSION1_4,
      // A deployment starts new nodes first, goes through the service in two parts at least, so that not all clients come
      // back at once, and goes back by itself when new nodes do not come up. One node can only be replaced by one more.
      minHealthyPercent: 100,
      maxHealthyPercent: settings.scaling.minTasks === 1 ? 200 : 150,
      circuitBreaker: { enable: true, rollback: true },
      healthCheckGracePeriod: Duration.seconds(60),
      // It moves tasks between zones at times of its own, and with each task its clients.
      availabilityZoneRebalancing: ecs.AvailabilityZoneRebalancing.DISABLED,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
      enableECSManagedTags: true,
    });
    this.service.attachToApplicationTargetGroup(entrance.targets);
    // ECS refuses a target group that no load balancer uses yet.
    this.service.node.addDependency(entrance.listener);
  }

  private makeCluster({ settings, vpc }: NodeServiceProps): ecs.Cluster {
    const { ENABLED, DISABLED } = ecs.ContainerInsights;
    const cluster = new ecs.Cluster(this, 'Cluster', {
      vpc,
      containerInsightsV2: settings.containerInsights ? ENABLED : DISABLED,
    });
    if (!settings.containerInsights) {
      Validations.of(cluster).acknowledge({
        id: 'AwsSolutions-ECS4',
        reason: 'Container Insights is a setting, off for trials.',
      });
    }
    return cluster;
  }

  private task(props: NodeServiceProps): ecs.FargateTaskDefinition {
    const { accelerator, settings: { task } } = props;
    const { ARM64, X86_64 } = ecs.CpuArchitecture;
    const definition = new ecs.FargateTaskDefinition(this, 'Task', {
      cpu: task.cpu,
      memoryLimitMiB: task.memory,
      taskRole: props.role,
      runtimePlatform: {
        cpuArchitecture: task.architecture === 'arm64' ? ARM64 : X86_64,
        operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
    });
    const key = secrets.Secret.fromSecretCompleteArn(this, 'ClusterKey', props.data.clusterKeyArn);
    const container = definition.addContainer('Node', {
      containerName: 'ws-server',
      image: props.image,
      user: USER,
      readonlyRootFilesystem: true,
      // SIGTERM comes after the deregistration delay; a node closes its sessions in waves and needs the time.
      stopTimeout: Duration.seconds(STOP_TIMEOUT),
      portMappings: [NODE_PORT, LINK_PORT, OPERATIONS_PORT].map((containerPort) => ({ containerPort })),
      environment: { AWS_REGION: Aws.REGION, ...nodeEnvironment(props) },
      secrets: {
        ROOMCAST_CLUSTER_KEY: ecs.Secret.fromSecretsManager(key),
        ...(accelerator && { ROOMCAST_REDIS_PASSWORD: ecs.Secret.fromSecretsManager(accelerator.password) }),
      },
      // A slow log service must not hold up a node.
      logging: ecs.LogDrivers.awsLogs({
        logGroup: this.logGroup,
        streamPrefix: 'node',
        mode: ecs.AwsLogDriverMode.NON_BLOCKING,
      }),
    });
    container.addUlimits({ name: ecs.UlimitName.NOFILE, softLimit: OPEN_FILES, hardLimit: OPEN_FILES });
    this.acknowledge(definition);
    return definition;
  }

  private acknowledge(definition: ecs.FargateTaskDefinition): void {
    Validations.of(definition).acknowledge({
      id: 'AwsSolutions-ECS2',
      reason: 'What stands in the variables is configuration; secrets come from Secrets Manager.',
    });
    Validations.of(definition.obtainExecutionRole()).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ecr:GetAuthorizationToken knows no resource.',
    });
  }

  /** Clients come from the load balancer, nodes from nodes; out go HTTPS to AWS and what nodes tell each other. */
  private group({ settings, vpc, entrance }: NodeServiceProps): ec2.SecurityGroup {
    const group = new ec2.SecurityGroup(this, 'Group', {
      vpc,
      description: 'Roomcast: nodes',
      allowAllOutbound: false,
    });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'AWS, by HTTPS');
    group.connections.allowInternally(ec2.Port.tcp(LINK_PORT), 'Nodes among themselves');
    group.connections.allowFrom(entrance.securityGroup, ec2.Port.tcp(NODE_PORT), 'Load balancer');
    if (settings.metricsReaders !== undefined) {
      group.addIngressRule(ec2.Peer.securityGroupId(settings.metricsReaders), ec2.Port.tcp(OPERATIONS_PORT), 'Readers of metrics');
    }
    return group;
  }
}
