import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { alarm } from './alarm.ts';
import { LOG_LINES, REPORTED } from './log-lines.ts';
import type { LogMetrics } from './log-metrics.ts';
import type { ServiceMetrics } from './service-metrics.ts';

export interface ServiceAlarmsProps {
  readonly metrics: ServiceMetrics;
  readonly lines: LogMetrics;
  readonly minTasks: number;
  readonly maxTasks: number;
  readonly notify: sns.ITopic;
}

/** Tells when clients cannot come in, and when nodes say that something is wrong. */
export class ServiceAlarms extends Construct {
  constructor(scope: Construct, id: string, props: ServiceAlarmsProps) {
    super(scope, id);
    this.forClients(props);
    this.forCapacity(props);
    for (const { id: line, alarm: rule } of LOG_LINES) {
      if (rule) {
        alarm(this, line, { ...rule, metric: props.lines.metric(line) }, props.notify);
      }
    }
    for (const { id: name, statistic, alarm: rule } of REPORTED) {
      if (rule) {
        alarm(this, name, { ...rule, metric: props.lines.metric(name, statistic) }, props.notify);
      }
    }
  }

  private forClients({ metrics, minTasks, notify }: ServiceAlarmsProps): void {
    alarm(this, 'NodesUnhealthy', {
      description: 'Nodes do not answer health checks.',
      metric: metrics.unhealthy,
      above: 0, bad: 5, minutes: 5,
    }, notify);
    alarm(this, 'NodesMissing', {
      description: `Fewer than ${minTasks} nodes are healthy.`,
      metric: metrics.nodes,
      below: minTasks, bad: 3, minutes: 5,
      missing: cloudwatch.TreatMissingData.BREACHING,
    }, notify);
    alarm(this, 'EntranceErrors', {
      description: 'The load balancer answers clients with errors of its own: it has no node for them.',
      metric: metrics.balancerErrors,
      above: 20, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'NodeErrors', {
      description: 'Nodes answer requests with errors; 503 to SNS means that their queues are full.',
      metric: metrics.nodeErrors,
      above: 20, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'ConnectionsRejected', {
      description: 'The load balancer turns clients away: it is at its own limit.',
      metric: metrics.rejected,
      above: 0, bad: 1, minutes: 1,
    }, notify);
  }

  private forCapacity({ metrics, minTasks, maxTasks, notify }: ServiceAlarmsProps): void {
    // Where their number is fixed there are always as many as there may be.
    if (maxTasks > minTasks) {
      alarm(this, 'NodesAtMost', {
        description: `All ${maxTasks} nodes that the service may have are running.`,
        metric: metrics.nodes,
        above: maxTasks - 1, bad: 15, minutes: 15,
      }, notify);
    }
    alarm(this, 'NodesBusy', {
      description: 'The processors of the nodes are above 85 % on average although the service may grow.',
      metric: metrics.cpu,
      above: 85, bad: 10, minutes: 15,
    }, notify);
    alarm(this, 'MemoryShort', {
      description: 'A node has less than a tenth of its memory left; at the end of it the node is killed.',
      metric: metrics.mostMemory,
      above: 90, bad: 5, minutes: 5,
    }, notify);
  }
}
