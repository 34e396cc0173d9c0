import { Duration, Fn } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { DataPlane } from '../data-plane.ts';
import { LOG_LINES, REPORTED } from './log-lines.ts';
import { ALL_ERRORS, type LogMetrics } from './log-metrics.ts';
import type { ServiceMetrics } from './service-metrics.ts';

const period = Duration.minutes(1);
const WIDTH = 8;

export interface DashboardProps {
  readonly metrics: ServiceMetrics;
  readonly lines: LogMetrics;
  readonly data: DataPlane;
}

/** One page: clients, nodes, the log, the way through the publisher, and what nodes complain of. */
export class Dashboard extends Construct {
  constructor(scope: Construct, id: string, { metrics, lines, data }: DashboardProps) {
    super(scope, id);
    const counted = [...LOG_LINES.map((line) => line.id), ALL_ERRORS];
    const complaints = counted.map((id) => lines.metric(id).with({ label: id }));
    const reported = (...fields: string[]) =>
      REPORTED.filter(({ field }) => fields.includes(field)).map(({ id, field, statistic }) =>
        lines.metric(id, statistic).with({ label: field }),
      );
    new cloudwatch.Dashboard(this, 'Dashboard', {
      defaultInterval: Duration.hours(3),
      widgets: [
        [
          graph('Clients', [metrics.clients], [metrics.connects.with({ label: 'new connections' })]),
          graph('Nodes', [metrics.nodes, metrics.unhealthy]),
          graph('Processor and memory, %', [metrics.cpu, metrics.memory, metrics.mostMemory]),
        ],
        logRow(data),
        publisherRow(data),
        [
          graph('Sessions, as nodes count them', reported('sessions'), reported('not_ready')),
          graph('Commits, ms, the slowest node', reported('commit_p50_ms', 'commit_p99_ms')),
          graph('Own segments late, races lost', reported('own_segments_late', 'conflicts'), reported('chain_broken')),
        ],
        [
          graph('Load balancer', [metrics.bytes], [metrics.capacityUnits]),
          graph('Errors', [metrics.balancerErrors, metrics.nodeErrors, metrics.rejected, metrics.unreachable]),
          graph('What nodes complain of', complaints),
        ],
      ],
    });
  }
}

function graph(title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []): cloudwatch.GraphWidget {
  return new cloudwatch.GraphWidget({ title, left, right, width: WIDTH });
}

function logRow(data: DataPlane): cloudwatch.IWidget[] {
  const of = (metricName: string, dimensions: Record<string, string>, statistic: string) =>
    new cloudwatch.Metric({
      namespace: 'AWS/DynamoDB',
      metricName,
      dimensionsMap: { TableName: data.messagesTableName, ...dimensions },
      statistic,
      period,
      label: [...Object.values(dimensions), metricName, statistic].join(' '),
    });
  const put = { Operation: 'PutItem' };
  return [
    graph('Commits, ms', ['p50', 'p99'].map((p) => of('SuccessfulRequestLatency', put, p))),
    graph(
      'Log: units a minute',
      [of('ConsumedWriteCapacityUnits', {}, 'Sum'), of('ConsumedReadCapacityUnits', {}, 'Sum')],
      [of('ThrottledRequests', put, 'Sum')],
    ),
    graph('Lost races', [of('ConditionalCheckFailedRequests', {}, 'Sum')]),
  ];
}

function publisherRow(data: DataPlane): cloudwatch.IWidget[] {
  const of = (metricName: string, statistic: string) =>
    new cloudwatch.Metric({
      namespace: 'AWS/Lambda',
      metricName,
      dimensionsMap: { FunctionName: data.publisherName },
      statistic,
      period,
    });
  const given = new cloudwatch.Metric({
    namespace: 'AWS/SQS',
    metricName: 'ApproximateNumberOfMessagesVisible',
    dimensionsMap: { QueueName: data.deadLettersName },
    statistic: 'Maximum',
    period,
    label: 'batches given up',
  });
  return [
    graph('Publisher: age of the stream, ms', [of('IteratorAge', 'Maximum')]),
    graph('Publisher: invocations', [of('Invocations', 'Sum'), of('Errors', 'Sum'), given], [of('Duration', 'p99')]),
    topicsGraph(data),
  ];
}

function topicsGraph(data: DataPlane): cloudwatch.IWidget {
  const of = (metricName: string, shard: number) => {
    const arn = data.topicArns[shard]!;
    return new cloudwatch.Metric({
      namespace: 'AWS/SNS',
      metricName,
      dimensionsMap: { TopicName: Fn.select(5, Fn.split(':', arn)) },
      statistic: 'Sum',
      period,
      label: `${metricName} ${shard}`,
    });
  };
  const shards = data.topicArns.map((_, shard) => shard);
  return graph(
    'SNS a minute',
    shards.flatMap((shard) => [of('NumberOfNotificationsDelivered', shard), of('NumberOfNotificationsFailed', shard)]),
    shards.map((shard) => of('NumberOfMessagesPublished', shard)),
  );
}
