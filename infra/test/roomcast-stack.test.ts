import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Template } from 'aws-cdk-lib/assertions';
import { checkSettings } from '../lib/check-settings.ts';
import { ACCELERATED_TRIAL, changedData, dataTemplate, PRODUCTION, serviceTemplate, TRIAL, wholeStack } from './stacks.ts';

const whole = Template.fromStack(wholeStack(TRIAL));

/** How many resources there are of each type. */
function types(...templates: Template[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const template of templates) {
    for (const { Type } of Object.values(template.toJSON()['Resources']) as { Type: string }[]) {
      counts.set(Type, (counts.get(Type) ?? 0) + 1);
    }
  }
  return counts;
}

test('one stack has what the two have', () => {
  for (const settings of [TRIAL, ACCELERATED_TRIAL, changedData(TRIAL, { encryption: 'customer-managed', topicShards: 3 })]) {
    const one = types(Template.fromStack(wholeStack(settings)));
    assert.deepEqual(one, types(dataTemplate(settings), serviceTemplate(settings)));
  }
});

test('it imports and exports nothing', () => {
  const text = JSON.stringify(whole.toJSON());
  assert.doesNotMatch(text, /Fn::ImportValue|"Export"/);
});

test('it prints what both print', () => {
  const outputs = (template: Template) => Object.keys(template.toJSON()['Outputs']);
  assert.deepEqual(outputs(whole).sort(), [...outputs(dataTemplate(TRIAL)), ...outputs(serviceTemplate(TRIAL))].sort());
});

test('nodes get the names and rights of the very tables and topic', () => {
  const resources = whole.toJSON()['Resources'] as Record<string, { Type: string }>;
  const named = (type: string) => Object.entries(resources).filter(([, each]) => each.Type === type);
  const [task] = Object.values(whole.findResources('AWS::ECS::TaskDefinition'));
  const { Environment: environment, Secrets: secrets } = task!['Properties'].ContainerDefinitions[0];
  const value = (name: string) => environment.find((each: { Name: string }) => each.Name === name).Value;
  const tables = named('AWS::DynamoDB::Table').map(([id]) => id);
  assert.deepEqual([value('ROOMCAST_MESSAGES_TABLE'), value('ROOMCAST_NODES_TABLE')].map(({ Ref }) => Ref).sort(), tables.sort());
  assert.deepEqual(value('ROOMCAST_TOPIC_ARNS'), { Ref: named('AWS::SNS::Topic').find(([id]) => id.startsWith('DataTopics'))![0] });
  const secret = named('AWS::SecretsManager::Secret')[0]![0];
  assert.match(JSON.stringify(secrets), new RegExp(`"Ref":"${secret}"`));
});

test('there is no node before what it writes can be published', () => {
  const [service] = Object.values(whole.findResources('AWS::ECS::Service'));
  const [mapping] = Object.keys(whole.findResources('AWS::Lambda::EventSourceMapping'));
  assert.ok(service!['DependsOn'].includes(mapping));
});

test('what must be kept is not put into one stack with what is made anew', () => {
  assert.throws(() => checkSettings({ ...PRODUCTION, stacks: 'one' }), /^SettingsError: stacks: what is protected/);
});
