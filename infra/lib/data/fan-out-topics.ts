import { Stack } from 'aws-cdk-lib';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

export interface FanOutTopicsProps {
  /** How many topics; a room belongs to one of them by its name. */
  readonly shards: number;
  /** Key of this deployment; without it the one that AWS keeps for SNS. */
  readonly key: kms.IKey | undefined;
}

/**
 * The topics between publisher and nodes. Nodes subscribe themselves when they start, so there are no subscriptions here.
 * The order counts: publisher and nodes number the topics by it.
 */
export class FanOutTopics extends Construct {
  readonly topics: readonly sns.Topic[];

  constructor(scope: Construct, id: string, props: FanOutTopicsProps) {
    super(scope, id);
    this.topics = Array.from({ length: props.shards }, (_, shard) => {
      const topic = new sns.Topic(this, `Shard${shard}`, {
        displayName: `Roomcast ${Stack.of(this).stackName} ${shard}`,
        // SHA-256; version 1 is SHA-1.
        signatureVersion: '2',
        enforceSSL: true,
        ...(props.key && { masterKey: props.key }),
      });
      if (!props.key) {
        (topic.node.defaultChild as sns.CfnTopic).kmsMasterKeyId = 'alias/aws/sns';
      }
      return topic;
    });
  }

  /** The ARNs in their order. */
  arns(): string[] {
    return this.topics.map((topic) => topic.topicArn);
  }
}
