import { Duration, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { LOG_LINES, REPORT, REPORTED } from './log-lines.ts';

/** Name of the metric that counts all lines of level ERROR. */
export const ALL_ERRORS = 'Errors';

/** Counts of log lines, and the numbers of the nodes' reports, as metrics of the namespace `Roomcast/<stack>`. */
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
    for (const { id: name, field } of REPORTED) {
      new logs.MetricFilter(this, name, {
        logGroup,
        metricNamespace: this.namespace,
        metricName: name,
        // A minute without commits has no times of commits.
        filterPattern: logs.FilterPattern.all(
          logs.FilterPattern.stringValue('$.message', '=', REPORT),
          logs.FilterPattern.numberValue(`$.${field}`, '>=', 0),
        ),
        metricValue: `$.${field}`,
      });
    }
    new logs.MetricFilter(this, ALL_ERRORS, {
      logGroup,
      metricNamespace: this.namespace,
      metricName: ALL_ERRORS,
      filterPattern: logs.FilterPattern.stringValue('$.level', '=', 'ERROR'),
      metricValue: '1',
      defaultValue: 0,
    });
  }

  /** How often a line came in a minute; or a reported number, of all nodes together as `statistic` says. */
  metric(id: string, statistic: 'Sum' | 'Maximum' = 'Sum'): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: this.namespace,
      metricName: id,
      statistic,
      period: Duration.minutes(1),
    });
  }
}
