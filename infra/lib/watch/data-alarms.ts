import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { alarm } from './alarm.ts';

const period = Duration.minutes(1);

export interface DataAlarmsProps {
  readonly messages: dynamodb.ITable;
  readonly publisher: lambda.IFunction;
  readonly deadLetters: sqs.IQueue;
  readonly topics: readonly sns.ITopic[];
  readonly notify: sns.ITopic;
}

/** Tells when messages are committed late, or come to other nodes by audits alone. */
export class DataAlarms extends Construct {
  constructor(scope: Construct, id: string, props: DataAlarmsProps) {
    super(scope, id);
    const { messages, publisher, deadLetters, topics, notify } = props;
    const of = (metricName: string, operation: string, statistic: string) =>
      new cloudwatch.Metric({
        namespace: 'AWS/DynamoDB',
        metricName,
        dimensionsMap: { TableName: messages.tableName, Operation: operation },
        statistic,
        period,
      });
    alarm(this, 'PublisherBehind', {
      description: 'The oldest record of the stream waits for more than 30 s: other nodes get messages by audits.',
      metric: publisher.metric('IteratorAge', { statistic: 'Maximum', period }),
      above: 30_000, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'PublisherFails', {
      description: 'Invocations of the publisher end in errors.',
      metric: publisher.metricErrors({ period }),
      above: 0, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'PublisherThrottled', {
      description: 'Lambda does not start the publisher: the account has no concurrency left.',
      metric: publisher.metricThrottles({ period }),
      above: 0, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'BatchesGivenUp', {
      description: 'Batches of the stream were given up after all retries.',
      metric: deadLetters.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period }),
      above: 0, bad: 1, minutes: 1,
    }, notify);
    alarm(this, 'LogThrottled', {
      description: 'DynamoDB throttles commits: a room is hotter than 1,000 write units a second, or the table grew too fast.',
      metric: of('ThrottledRequests', 'PutItem', 'Sum'),
      above: 0, bad: 2, minutes: 5,
    }, notify);
    alarm(this, 'LogFails', {
      description: 'DynamoDB answers commits with errors of its own.',
      metric: of('SystemErrors', 'PutItem', 'Sum'),
      above: 0, bad: 3, minutes: 5,
    }, notify);
    alarm(this, 'CommitsSlow', {
      description: 'The slowest hundredth of commits takes DynamoDB more than 50 ms; 5 ms are usual.',
      metric: of('SuccessfulRequestLatency', 'PutItem', 'p99'),
      above: 50, bad: 5, minutes: 10,
    }, notify);
    topics.forEach((topic, shard) => {
      const failed = topic.metricNumberOfNotificationsFailed({ statistic: 'Sum', period });
      const delivered = topic.metricNumberOfNotificationsDelivered({ statistic: 'Sum', period });
      alarm(this, `DeliveriesFail${shard === 0 ? '' : shard}`, {
        description: 'SNS gave up more than a twentieth of its deliveries to nodes.',
        metric: new cloudwatch.MathExpression({
          expression: 'IF(failed + delivered > 20, 100 * failed / (failed + delivered), 0)',
          usingMetrics: { failed, delivered },
          label: 'failed deliveries, %',
          period,
        }),
        above: 5, bad: 10, minutes: 15,
      }, notify);
    });
  }
}
