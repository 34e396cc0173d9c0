import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

/** When somebody is told. Missing data means that nothing happened, unless it is said otherwise. */
export interface AlarmRule {
  /** What it means; the section of docs/operations/alarms.md that says what to do is added. */
  readonly description: string;
  readonly above?: number;
  readonly below?: number;
  /** Of the last `minutes`, how many must be bad; the metric has one value a minute. */
  readonly bad: number;
  readonly minutes: number;
  readonly missing?: cloudwatch.TreatMissingData;
}

/** A rule and what it watches. */
export interface WatchedMetric extends AlarmRule {
  readonly metric: cloudwatch.IMetric;
}

/** An alarm that tells when it comes and when it goes. */
export function alarm(scope: Construct, id: string, rule: WatchedMetric, notify: sns.ITopic): cloudwatch.Alarm {
  const above = rule.above !== undefined;
  const made = new cloudwatch.Alarm(scope, id, {
    alarmDescription: `${rule.description} What to do: docs/operations/alarms.md, "${id}".`,
    metric: rule.metric,
    threshold: rule.above ?? rule.below ?? 0,
    comparisonOperator: above
      ? cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
      : cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
    evaluationPeriods: rule.minutes,
    datapointsToAlarm: rule.bad,
    treatMissingData: rule.missing ?? cloudwatch.TreatMissingData.NOT_BREACHING,
  });
  made.addAlarmAction(new SnsAction(notify));
  made.addOkAction(new SnsAction(notify));
  return made;
}
