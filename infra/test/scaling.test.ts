import { test } from 'node:test';
import { Match } from 'aws-cdk-lib/assertions';
import { PRODUCTION, serviceTemplate } from './stacks.ts';

const POLICY = 'AWS::ApplicationAutoScaling::ScalingPolicy';

test('the service has as many nodes as the settings allow', () => {
  serviceTemplate(PRODUCTION).hasResourceProperties('AWS::ApplicationAutoScaling::ScalableTarget', {
    MinCapacity: 2,
    MaxCapacity: 20,
  });
});

test('nodes are added by connections: what the load balancer has open on both sides, halved, for each healthy node', () => {
  serviceTemplate(PRODUCTION).hasResourceProperties(POLICY, {
    PolicyType: 'TargetTrackingScaling',
    TargetTrackingScalingPolicyConfiguration: {
      TargetValue: 10_000,
      CustomizedMetricSpecification: {
        Metrics: [
          Match.objectLike({ Id: 'open', MetricStat: { Metric: { MetricName: 'ActiveConnectionCount' }, Stat: 'Sum' } }),
          Match.objectLike({ Id: 'nodes', MetricStat: { Metric: { MetricName: 'HealthyHostCount' } } }),
          Match.objectLike({ Expression: 'FILL(open, 0) / 2 / nodes', ReturnData: true }),
        ],
      },
    },
  });
});

test('and by processor time; both grow fast and shrink slowly, as each client of a node that leaves connects anew', () => {
  const template = serviceTemplate(PRODUCTION);
  template.resourceCountIs(POLICY, 2);
  template.allResourcesProperties(POLICY, {
    TargetTrackingScalingPolicyConfiguration: { ScaleOutCooldown: 60, ScaleInCooldown: 900 },
  });
  template.hasResourceProperties(POLICY, {
    TargetTrackingScalingPolicyConfiguration: {
      TargetValue: 60,
      PredefinedMetricSpecification: { PredefinedMetricType: 'ECSServiceAverageCPUUtilization' },
    },
  });
});
