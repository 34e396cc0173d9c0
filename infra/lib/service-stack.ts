import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { importDataPlane } from './data-exports.ts';
import { Accelerator } from './service/accelerator.ts';
import { Domain } from './service/domain.ts';
import { Entrance } from './service/entrance.ts';
import { Network } from './service/network.ts';
import { NodeRole } from './service/node-role.ts';
import { NodeService } from './service/node-service.ts';
import { Scaling } from './service/scaling.ts';
import type { Settings } from './settings.ts';
import { Dashboard } from './watch/dashboard.ts';
import { LogMetrics } from './watch/log-metrics.ts';
import { ServiceAlarms } from './watch/service-alarms.ts';
import { serviceMetrics } from './watch/service-metrics.ts';

export interface ServiceStackProps extends StackProps {
  /** The settings; some of them may be the stack's parameters. */
  readonly settings: (stack: Stack) => Settings;
  /** The server's image; it may be one that the stack's parameters name. */
  readonly image: (stack: Stack) => ecs.ContainerImage;
  /** Name of the data stack beside which this one lives; a text or a parameter. */
  readonly dataStack: (stack: Stack) => string;
}

/** The nodes and the way to them. Everything that must not be lost is in the data stack: this one can be made anew. */
export class ServiceStack extends Stack {
  constructor(scope: Construct, id: string, props: ServiceStackProps) {
    super(scope, id, { description: 'Roomcast: nodes, load balancer, network', ...props });
    const settings = props.settings(this);
    const { entrance: entranceSettings, scaling } = settings.service;
    const data = importDataPlane(props.dataStack(this), {
      alarms: settings.alarms.enabled,
      customerKey: settings.data.encryption === 'customer-managed',
      topicShards: settings.data.topicShards,
    });
    const { vpc } = new Network(this, 'Network', {
      settings: settings.service.network,
      logDays: settings.service.logDays,
    });
    const domain = new Domain(this, 'Domain', entranceSettings);
    const entrance = new Entrance(this, 'Entrance', {
      settings: entranceSettings,
      vpc,
      certificate: domain.certificate,
      protect: settings.protect,
    });
    domain.pointAt(entrance.balancer);
    const publicUrl = domain.certificate
      ? `https://${entranceSettings.domainName}`
      : `http://${entrance.balancer.loadBalancerDnsName}`;
    const accelerator = settings.service.accelerator && new Accelerator(this, 'Accelerator', {
      settings: settings.service.accelerator,
      vpc,
    });
    const nodes = new NodeService(this, 'Nodes', {
      settings: settings.service,
      vpc,
      entrance,
      image: props.image(this),
      role: new NodeRole(this, 'NodeRole', data).role,
      data,
      publicUrl,
      ...(accelerator && { accelerator }),
    });
    accelerator?.allowFrom(nodes.service);
    new Scaling(this, 'Scaling', { settings: scaling, service: nodes.service, entrance });
    const metrics = serviceMetrics(entrance, nodes.service);
    const lines = new LogMetrics(this, 'LogLines', nodes.logGroup);
    new Dashboard(this, 'Watch', { metrics, lines, data });
    if (data.alarmTopicArn !== undefined) {
      const notify = sns.Topic.fromTopicArn(this, 'AlarmTopic', data.alarmTopicArn);
      new ServiceAlarms(this, 'Alarms', {
        metrics,
        lines,
        minTasks: scaling.minTasks,
        maxTasks: scaling.maxTasks,
        notify,
      });
    }
    new CfnOutput(this, 'Url', { value: publicUrl, description: 'The chat page; WebSockets at /ws' });
    new CfnOutput(this, 'LoadBalancer', {
      value: entrance.balancer.loadBalancerDnsName,
      description: 'What the host name must point at, where its zone is not in Route 53',
    });
    new CfnOutput(this, 'Cluster', { value: nodes.cluster.clusterName, description: 'ECS cluster' });
    new CfnOutput(this, 'Service', { value: nodes.service.serviceName, description: 'ECS service' });
    new CfnOutput(this, 'NodeLogs', { value: nodes.logGroup.logGroupName, description: 'Logs of the nodes' });
  }
}
