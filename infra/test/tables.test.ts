import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Match } from 'aws-cdk-lib/assertions';
import { changedData, dataTemplate, PRODUCTION, TRIAL } from './stacks.ts';

const TABLE = 'AWS::DynamoDB::Table';
const MESSAGES = {
  KeySchema: [
    { AttributeName: 'room', KeyType: 'HASH' },
    { AttributeName: 'seq', KeyType: 'RANGE' },
  ],
};

test('the table of messages has the key, the stream and the expiry that nodes insist on', () => {
  dataTemplate(TRIAL).hasResourceProperties(TABLE, {
    ...MESSAGES,
    AttributeDefinitions: [
      { AttributeName: 'room', AttributeType: 'S' },
      { AttributeName: 'seq', AttributeType: 'N' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
    StreamSpecification: { StreamViewType: 'NEW_IMAGE' },
    TimeToLiveSpecification: { AttributeName: 'expires', Enabled: true },
  });
});

test('the table of nodes has their key, expires, and needs no stream', () => {
  dataTemplate(TRIAL).hasResourceProperties(TABLE, {
    KeySchema: [{ AttributeName: 'node', KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName: 'node', AttributeType: 'S' }],
    BillingMode: 'PAY_PER_REQUEST',
    StreamSpecification: Match.absent(),
    TimeToLiveSpecification: { AttributeName: 'expires', Enabled: true },
  });
});

test("names of attributes are the protocol's", () => {
  const source = readFileSync(new URL('../../crates/protocol/src/log_item.rs', import.meta.url), 'utf8');
  for (const line of ['ROOM: &str = "room"', 'SEQ: &str = "seq"', 'EXPIRES: &str = "expires"']) {
    assert.ok(source.includes(line), line);
  }
});

test('in production messages outlive the stack and every second of them can be restored', () => {
  const template = dataTemplate(PRODUCTION);
  template.hasResource(TABLE, {
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Properties: {
      ...MESSAGES,
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    },
  });
  template.hasResource(TABLE, {
    DeletionPolicy: 'Delete',
    Properties: { KeySchema: [{ AttributeName: 'node', KeyType: 'HASH' }], DeletionProtectionEnabled: false },
  });
});

test('a trial leaves nothing behind', () => {
  dataTemplate(TRIAL).allResources(TABLE, { DeletionPolicy: 'Delete' });
});

test('tables and topics can be under a key of this deployment, which the publisher may use', () => {
  const template = dataTemplate(changedData(TRIAL, { encryption: 'customer-managed' }));
  template.hasResourceProperties('AWS::KMS::Key', { EnableKeyRotation: true });
  template.allResourcesProperties(TABLE, { SSESpecification: { SSEEnabled: true, SSEType: 'KMS' } });
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: {
      Statement: Match.arrayWith([Match.objectLike({ Action: ['kms:Decrypt', 'kms:GenerateDataKey'] })]),
    },
  });
  template.hasOutput('KeyArn', {});
});
