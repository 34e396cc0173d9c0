import * as iam from 'aws-cdk-lib/aws-iam';
import { Stack, Validations } from 'aws-cdk-lib';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { AlarmSettings } from '../settings.ts';

/** Where alarms go: a topic that exists, or a new one. */
export class AlarmTopic extends Construct {
  readonly topic: sns.ITopic;

  constructor(scope: Construct, id: string, settings: AlarmSettings) {
    super(scope, id);
    if (settings.topicArn !== undefined) {
      this.topic = sns.Topic.fromTopicArn(this, 'Given', settings.topicArn);
      return;
    }
    const topic = new sns.Topic(this, 'Topic', { displayName: 'Roomcast alarms', enforceSSL: true });
    topic.addToResourcePolicy(
      new iam.PolicyStatement({
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
    if (settings.email !== undefined) {
      new sns.Subscription(this, 'Email', {
        topic,
        protocol: sns.SubscriptionProtocol.EMAIL,
        endpoint: settings.email,
      });
    }
    Validations.of(topic).acknowledge({
      id: 'AwsSolutions-SNS2',
      reason: 'CloudWatch cannot publish to a topic under the key of AWS; alarms hold names and numbers alone.',
    });
    this.topic = topic;
  }
}
