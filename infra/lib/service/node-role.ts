import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { DataPlane } from '../data-plane.ts';

/** What a node may do: the calls that it makes, on this deployment's tables and topics. README.md has the same list. */
export class NodeRole extends Construct {
  readonly role: iam.Role;

  constructor(scope: Construct, id: string, data: DataPlane) {
    super(scope, id);
    this.role = new iam.Role(this, 'Role', {
      description: 'Roomcast: what a node may do',
      assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com'),
    });
    this.allow(
      ['dynamodb:PutItem', 'dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:Query', 'dynamodb:DescribeTable'],
      [data.messagesTableArn],
    );
    this.allow(
      ['dynamodb:PutItem', 'dynamodb:GetItem', 'dynamodb:DeleteItem', 'dynamodb:Scan', 'dynamodb:DescribeTable'],
      [data.nodesTableArn],
    );
    // Listing is for the nodes that remove subscriptions of dead ones; publishing for signals, where nodes push nothing.
    this.allow(
      ['sns:Subscribe', 'sns:ConfirmSubscription', 'sns:ListSubscriptionsByTopic', 'sns:Publish'],
      data.topicArns,
    );
    this.allow(['sns:GetSubscriptionAttributes', 'sns:Unsubscribe'], ['*']);
    if (data.keyArn !== undefined) {
      this.allow(['kms:Decrypt', 'kms:GenerateDataKey'], [data.keyArn]);
    }
    Validations.of(this.role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'sns:GetSubscriptionAttributes and sns:Unsubscribe know no resource.',
    });
  }

  private allow(actions: string[], resources: string[]): void {
    this.role.addToPolicy(new iam.PolicyStatement({ actions, resources }));
  }
}
