import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { SUBNET_PREFIX } from '../check-settings.ts';
import type { NetworkSettings } from '../settings.ts';

export interface NetworkProps {
  readonly settings: NetworkSettings;
  readonly logDays: number;
}

/** Where the service lives: the load balancer in public subnets, the tasks in private ones with a way out. */
export class Network extends Construct {
  readonly vpc: ec2.IVpc;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    const { settings } = props;
    switch (settings.kind) {
      case 'new':
        this.vpc = this.make(settings, props.logDays);
        break;
      case 'existing':
        this.vpc = ec2.Vpc.fromLookup(this, 'Vpc', { vpcId: settings.vpcId });
        break;
      case 'given':
        this.vpc = ec2.Vpc.fromVpcAttributes(this, 'Vpc', {
          vpcId: settings.vpcId,
          availabilityZones: [...settings.availabilityZones],
          publicSubnetIds: [...settings.publicSubnetIds],
          privateSubnetIds: [...settings.privateSubnetIds],
        });
        Validations.of(this.vpc).acknowledge({
          id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
          reason: 'Nothing is added to the routes of a network that is given.',
        });
    }
  }

  private make(settings: NetworkSettings & { kind: 'new' }, logDays: number): ec2.Vpc {
    const vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr(settings.cidr),
      maxAzs: settings.zones,
      natGateways: settings.natGateways,
      subnetConfiguration: [
        { name: 'Public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: SUBNET_PREFIX, mapPublicIpOnLaunch: false },
        { name: 'Private', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask: SUBNET_PREFIX },
      ],
      // The log's traffic, nearly all there is, passes no NAT gateway; nor do the layers of images. Both are free.
      gatewayEndpoints: {
        DynamoDb: { service: ec2.GatewayVpcEndpointAwsService.DYNAMODB },
        S3: { service: ec2.GatewayVpcEndpointAwsService.S3 },
      },
      // It would need a Lambda of CDK's own; nothing here uses the default group.
      restrictDefaultSecurityGroup: false,
    });
    if (settings.flowLogs) {
      const logGroup = new logs.LogGroup(this, 'FlowLogs', {
        retention: logDays,
        removalPolicy: RemovalPolicy.DESTROY,
      });
      vpc.addFlowLog('Rejected', {
        destination: ec2.FlowLogDestination.toCloudWatchLogs(logGroup),
        trafficType: ec2.FlowLogTrafficType.REJECT,
      });
    } else {
      Validations.of(vpc).acknowledge({
        id: 'AwsSolutions-VPC7',
        reason: 'Flow logs are a setting, off where nothing is worth their price.',
      });
    }
    return vpc;
  }
}
