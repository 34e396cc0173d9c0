import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Entrance } from '../service/entrance.ts';

const period = Duration.minutes(1);

/** The load balancer's and the tasks' metrics, one value a minute. */
export function serviceMetrics({ balancer, targets }: Entrance, service: ecs.FargateService) {
  const ofBalancer = (metricName: string, statistic = 'Sum') => balancer.metrics.custom(metricName, { statistic, period });
  const ofTargets = (metricName: string, statistic = 'Sum') => targets.metrics.custom(metricName, { statistic, period });
  const open = ofBalancer('ActiveConnectionCount');
  const nodes = ofTargets('HealthyHostCount', 'Maximum');
  return {
    /** Connections of clients; the load balancer counts each on both of its sides. */
    clients: new cloudwatch.MathExpression({
      expression: 'open / 2',
      usingMetrics: { open },
      label: 'clients',
      period,
    }),
    connects: ofBalancer('NewConnectionCount'),
    bytes: ofBalancer('ProcessedBytes'),
    capacityUnits: ofBalancer('ConsumedLCUs'),
    rejected: ofBalancer('RejectedConnectionCount'),
    balancerErrors: ofBalancer('HTTPCode_ELB_5XX_Count'),
    nodes,
    unhealthy: ofTargets('UnHealthyHostCount', 'Maximum'),
    nodeErrors: ofTargets('HTTPCode_Target_5XX_Count'),
    unreachable: ofTargets('TargetConnectionErrorCount'),
    cpu: service.metricCpuUtilization({ period }),
    memory: service.metricMemoryUtilization({ period }),
    mostMemory: service.metricMemoryUtilization({ period, statistic: 'Maximum' }),
  };
}

export type ServiceMetrics = ReturnType<typeof serviceMetrics>;
