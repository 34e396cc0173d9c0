import { CfnOutput, Stack } from 'aws-cdk-lib';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import type { DataPlane } from './data-plane.ts';
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

export interface ServiceProps {
  /** The settings; some of them may be the stack's parameters. */
  readonly settings: Settings;
  readonly image: ecs.ContainerImage;
  /** Where messages are kept, and come from. */
  readonly data: DataPlane;
}

/** The nodes and the way to them. Nothing in it must be kept: it can be made anew. */
export class Service {
  readonly nodes: NodeService;

  constructor(scope: Construct, props: ServiceProps) {
    const { settings, data } = props;
    const { entrance: entranceSettings, scaling } = settings.service;
    const { vpc } = new Network(scope, 'Network', {
      settings: settings.service.network,
      logDays: settings.service.logDays,
    });
    const domain = new Domain(scope, 'Domain', entranceSettings);
    const entrance = new Entrance(scope, 'Entrance', {
      settings: entranceSettings,
      vpc,
      certificate: domain.certificate,
      protect: settings.protect,
    });
    domain.pointAt(entrance.balancer);
    const publicUrl = domain.certificate
      ? `https://${entranceSettings.domainName}`
      : `http://${entrance.balancer.loadBalancerDnsName}`;
    const accelerator = settings.service.accelerator && new Accelerator(scope, 'Accelerator', {
      settings: settings.service.accelerator,
      vpc,
    });
    this.nodes = new NodeService(scope, 'Nodes', {
      settings: settings.service,
      vpc,
      entrance,
      image: props.image,
      role: new NodeRole(scope, 'NodeRole', data).role,
      data,
      publicUrl,
      ...(accelerator && { accelerator }),
    });
    accelerator?.allowFrom(this.nodes.service);
    new Scaling(scope, 'Scaling', { settings: scaling, service: this.nodes.service, entrance });
    const metrics = serviceMetrics(entrance, this.nodes.service);
    const lines = new LogMetrics(scope, 'LogLines', this.nodes.logGroup);
    new Dashboard(scope, 'Watch', { metrics, lines, data });
    if (data.alarmTopicArn !== undefined) {
      const notify = sns.Topic.fromTopicArn(scope, 'AlarmTopic', data.alarmTopicArn);
      new ServiceAlarms(scope, 'Alarms', {
        metrics,
        lines,
        minTasks: scaling.minTasks,
        maxTasks: scaling.maxTasks,
        notify,
      });
    }
    const output = (name: string, value: string, description: string) => new CfnOutput(Stack.of(scope), name, { value, description });
    output('Url', publicUrl, 'The chat page; WebSockets at /ws');
    output(
      'LoadBalancer',
      entrance.balancer.loadBalancerDnsName,
      'What the host name must point at, where its zone is not in Route 53',
    );
    output('Cluster', this.nodes.cluster.clusterName, 'ECS cluster');
    output('Service', this.nodes.service.serviceName, 'ECS service');
    output('NodeLogs', this.nodes.logGroup.logGroupName, 'Logs of the nodes');
  }
}
