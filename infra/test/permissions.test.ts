import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { changed, changedData, dataTemplate, PRODUCTION, serviceTemplate, TRIAL, wholeStack } from './stacks.ts';

interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
}

/** Actions that know no resource, so that `*` is all that can be said. */
const WITHOUT_RESOURCE = [
  'dynamodb:ListStreams',
  'ecr:GetAuthorizationToken',
  'sns:GetSubscriptionAttributes',
  'sns:Unsubscribe',
];

const own = { ...TRIAL.service.task, imageUri: '123456789012.dkr.ecr.eu-west-1.amazonaws.com/roomcast:1' };
const TEMPLATES = {
  'data of a trial': dataTemplate(TRIAL),
  'data of production': dataTemplate(PRODUCTION),
  'data under a key of its own': dataTemplate(changedData(TRIAL, { encryption: 'customer-managed' })),
  'service of a trial': serviceTemplate(TRIAL),
  'trial as one stack': Template.fromStack(wholeStack(TRIAL)),
  'service of production': serviceTemplate(PRODUCTION),
  'service with an image in ECR': serviceTemplate(changed(TRIAL, { task: own })),
};

function statements(template: Template): Statement[] {
  const policies = Object.values(template.findResources('AWS::IAM::Policy'));
  const inline = Object.values(template.findResources('AWS::IAM::Role')).flatMap((role) => role['Properties'].Policies ?? []);
  const documents = [...policies.map((policy) => policy['Properties']), ...inline].map((each) => each.PolicyDocument);
  return documents.flatMap((document) => document.Statement);
}

const actions = ({ Action }: Statement) => [Action].flat();

for (const [name, template] of Object.entries(TEMPLATES)) {
  test(`roles in the ${name} allow single actions, and name what they are for`, () => {
    const all = statements(template);
    assert.ok(all.length > 0);
    for (const statement of all) {
      assert.equal(statement.Effect, 'Allow');
      for (const action of actions(statement)) {
        assert.ok(!action.includes('*') || ['kms:GenerateDataKey*', 'kms:ReEncrypt*'].includes(action), action);
        if ([statement.Resource].flat().includes('*')) {
          assert.ok(WITHOUT_RESOURCE.includes(action), `${action} on everything`);
        }
      }
    }
  });

  test(`roles in the ${name} have no policies of AWS's`, () => {
    for (const role of Object.values(template.findResources('AWS::IAM::Role'))) {
      assert.equal(role['Properties'].ManagedPolicyArns, undefined);
    }
  });
}

test('a node may do what the README says that it does, and nothing else', () => {
  const [, policy] = Object.entries(serviceTemplate(TRIAL).findResources('AWS::IAM::Policy')).find(([id]) => id.startsWith('NodeRole'))!;
  const all: Statement[] = policy['Properties'].PolicyDocument.Statement;
  const [messages, nodes, topics, anything] = all.map((statement) => actions(statement).map((action) => action.split(':')[1]!));
  assert.equal(all.length, 4);
  assert.deepEqual(messages, ['BatchGetItem', 'DescribeTable', 'GetItem', 'PutItem', 'Query']);
  assert.deepEqual(nodes, ['DeleteItem', 'DescribeTable', 'GetItem', 'PutItem', 'Scan']);
  assert.deepEqual(topics, ['ConfirmSubscription', 'ListSubscriptionsByTopic', 'Publish', 'Subscribe']);
  assert.deepEqual(anything, ['GetSubscriptionAttributes', 'Unsubscribe']);
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const role = readme.slice(readme.indexOf("**A node's role**")).split('\n\n')[0]!;
  for (const action of [...messages!, ...nodes!, ...anything!, 'Subscribe', 'ConfirmSubscription', 'Publish']) {
    assert.ok(role.includes(action), `README.md says nothing of ${action}`);
  }
});
