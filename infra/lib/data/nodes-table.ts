import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import { Validations } from 'aws-cdk-lib';
import type * as kms from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { tableProps } from './messages-table.ts';

export interface NodesTableProps {
  /** Key for encryption at rest; without it DynamoDB's own. */
  readonly key: kms.IKey | undefined;
}

/** Which nodes live. Its rows are minutes old, so it is neither kept nor restored. */
export class NodesTable extends Construct {
  readonly table: dynamodb.Table;

  constructor(scope: Construct, id: string, props: NodesTableProps) {
    super(scope, id);
    this.table = new dynamodb.Table(this, 'Table', {
      ...tableProps({ protect: false, pointInTimeRecovery: false, key: props.key }),
      partitionKey: { name: 'node', type: dynamodb.AttributeType.STRING },
    });
    Validations.of(this.table).acknowledge({
      id: 'AwsSolutions-DDB3',
      reason: 'Rows are leases of running nodes, renewed every 3 s: there is nothing to restore.',
    });
  }
}
