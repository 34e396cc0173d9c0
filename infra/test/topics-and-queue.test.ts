import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match } from 'aws-cdk-lib/assertions';
import { changedData, dataTemplate, TRIAL } from './stacks.ts';

const FOUR = changedData(TRIAL, { topicShards: 4 });

test('topics sign with SHA-256, are encrypted, and take nothing in clear text', () => {
  const template = dataTemplate(TRIAL);
  template.hasResourceProperties('AWS::SNS::Topic', { SignatureVersion: '2', KmsMasterKeyId: 'alias/aws/sns' });
  template.hasResourceProperties('AWS::SNS::TopicPolicy', {
    PolicyDocument: {
      Statement: [
        Match.objectLike({
          Effect: 'Deny',
          Action: 'sns:Publish',
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        }),
      ],
    },
  });
});

test('publisher and nodes get all topics in one order', () => {
  const template = dataTemplate(FOUR);
  const functions = Object.values(template.findResources('AWS::Lambda::Function'));
  const topics = functions[0]!['Properties'].Environment.Variables.TOPIC_ARNS;
  assert.deepEqual(topics, template.findOutputs('TopicArns')['TopicArns']!['Value']);
  const names = JSON.stringify(topics).match(/Shard\d/g);
  assert.deepEqual(names, ['Shard0', 'Shard1', 'Shard2', 'Shard3']);
});

test('the queue of what was given up is encrypted, keeps for two weeks, and takes nothing in clear text', () => {
  const template = dataTemplate(TRIAL);
  template.hasResourceProperties('AWS::SQS::Queue', { SqsManagedSseEnabled: true, MessageRetentionPeriod: 14 * 86_400 });
  template.hasResourceProperties('AWS::SQS::QueuePolicy', {
    PolicyDocument: {
      Statement: Match.arrayWith([
        Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
      ]),
    },
  });
});

test('the cluster key is made by Secrets Manager: long enough, and without what a list of keys is split at', () => {
  dataTemplate(TRIAL).hasResourceProperties('AWS::SecretsManager::Secret', {
    GenerateSecretString: { PasswordLength: 48, ExcludePunctuation: true },
  });
});
