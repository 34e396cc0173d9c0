import { Duration, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { LOG_LINES } from './log-lines.ts';

/** Counts of log lines, as metrics of the namespace `Roomcast/<stack>`. */
export class LogMetrics extends Construct {
  private readonly namespace: string;

  constructor(scope: Construct, id: string, logGroup: logs.ILogGroup) {
    super(scope, id);
    this.namespace = `Roomcast/${Stack.of(this).stackName}`;
    for (const line of LOG_LINES) {
      new logs.MetricFilter(this, line.id, {
        logGroup,
        metricNamespace: this.namespace,
        metricName: line.id,
        filterPattern: logs.FilterPattern.stringValue('$.message', '=', line.message),
        metricValue: '1',
        // Without it a quiet minute is a minute without data.
        defaultValue: 0,
      });
    }
    new logs.MetricFilter(this, 'Errors', {
      logGroup,
      metricNamespace: this.namespace,
      metricName: 'Errors',
      filterPattern: logs.FilterPattern.stringValue('$.level', '=', 'ERROR'),
      metricValue: '1',
      defaultValue: 0,
    });
  }

  /** How often a line came in a minute. */
  metric(id: string): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: this.namespace,
      metricName: id,
      statistic: 'Sum',
      period: Duration.minutes(1),
    });
  }
}
