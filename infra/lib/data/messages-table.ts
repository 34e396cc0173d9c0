import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type * as kms from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';

export interface LogTableProps {
  /** Whether the table outlives the stack and refuses to be deleted. */
  readonly protect: boolean;
  /** Whether it can be restored to any second of the last 35 days. */
  readonly pointInTimeRecovery: boolean;
  /** Key for encryption at rest; without it DynamoDB's own. */
  readonly key: kms.IKey | undefined;
}

/** What both tables have in common: on demand, expiry by `expires`, and how they are kept. */
export function tableProps(props: LogTableProps) {
  return {
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    timeToLiveAttribute: 'expires',
    removalPolicy: props.protect ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    deletionProtection: props.protect,
    ...(props.key
      ? { encryption: dynamodb.TableEncryption.CUSTOMER_MANAGED, encryptionKey: props.key }
      : { encryption: dynamodb.TableEncryption.DEFAULT }),
  };
}

/** The message log, the truth of the deployment. Nodes refuse to start when key or stream are others than these. */
export class MessagesTable extends Construct {
  readonly table: dynamodb.Table;

  constructor(scope: Construct, id: string, props: LogTableProps) {
    super(scope, id);
    this.table = new dynamodb.Table(this, 'Table', {
      ...tableProps(props),
      partitionKey: { name: 'room', type: dynamodb.AttributeType.STRING },
      sortKey: { name: 'seq', type: dynamodb.AttributeType.NUMBER },
      // What the publisher sends is the new item; a change of the view type would replace the stream.
      stream: dynamodb.StreamViewType.NEW_IMAGE,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: props.pointInTimeRecovery },
    });
    if (!props.pointInTimeRecovery) {
      Validations.of(this.table).acknowledge({
        id: 'AwsSolutions-DDB3',
        reason: 'Point-in-time recovery is a setting, off for trials.',
      });
    }
  }
}
