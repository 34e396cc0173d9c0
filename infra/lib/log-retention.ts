import * as logs from 'aws-cdk-lib/aws-logs';

/** The steps that CloudWatch Logs knows, in days. */
export const LOG_DAYS: readonly number[] = Object.values(logs.RetentionDays)
  .filter((days) => typeof days === 'number')
  .filter((days) => days !== logs.RetentionDays.INFINITE);
