import { Duration } from 'aws-cdk-lib';
import * as scaling from 'aws-cdk-lib/aws-applicationautoscaling';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import type { ScalingSettings } from '../settings.ts';
import type { Entrance } from './entrance.ts';

/** Seconds to wait after a step before the next: growing is urgent, shrinking costs each client a new connection. */
const AFTER_GROWTH = 60;
const AFTER_SHRINKING = 900;

export interface ScalingProps {
  readonly settings: ScalingSettings;
  readonly service: ecs.FargateService;
  readonly entrance: Entrance;
}

/**
 * Nodes by connections and by processor time. Both are target tracking, so the service shrinks only when both agree.
 *
 * Requests per target say nothing about sockets that stay for hours, and the nodes publish nothing to CloudWatch. But the
 * load balancer counts what is open: on both of its sides, so a client on a WebSocket counts twice.
 */
export class Scaling extends Construct {
  constructor(scope: Construct, id: string, props: ScalingProps) {
    super(scope, id);
    const { settings, service } = props;
    const tasks = service.autoScaleTaskCount({ minCapacity: settings.minTasks, maxCapacity: settings.maxTasks });
    // The library's own class takes no expression of several metrics; the resource does.
    const target = tasks.node.findChild('Target') as scaling.ScalableTarget;
    tasks.scaleOnCpuUtilization('Cpu', {
      targetUtilizationPercent: settings.cpuPercent,
      scaleOutCooldown: Duration.seconds(AFTER_GROWTH),
      scaleInCooldown: Duration.seconds(AFTER_SHRINKING),
    });
    new scaling.CfnScalingPolicy(this, 'Connections', {
      policyName: `${this.node.addr}-connections`,
      policyType: 'TargetTrackingScaling',
      scalingTargetId: target.scalableTargetId,
      targetTrackingScalingPolicyConfiguration: {
        targetValue: settings.connectionsPerTask,
        scaleOutCooldown: AFTER_GROWTH,
        scaleInCooldown: AFTER_SHRINKING,
        customizedMetricSpecification: { metrics: connectionsPerTask(props.entrance) },
      },
    });
  }
}

function connectionsPerTask({ balancer, targets }: Entrance) {
  const LoadBalancer = { name: 'LoadBalancer', value: balancer.loadBalancerFullName };
  const TargetGroup = { name: 'TargetGroup', value: targets.targetGroupFullName };
  const namespace = 'AWS/ApplicationELB';
  return [
    {
      id: 'open',
      returnData: false,
      metricStat: { metric: { namespace, metricName: 'ActiveConnectionCount', dimensions: [LoadBalancer] }, stat: 'Sum' },
    },
    {
      id: 'nodes',
      returnData: false,
      metricStat: {
        metric: { namespace, metricName: 'HealthyHostCount', dimensions: [TargetGroup, LoadBalancer] },
        stat: 'Maximum',
      },
    },
    { id: 'each', label: 'connections a task', expression: 'FILL(open, 0) / 2 / nodes', returnData: true },
  ];
}
