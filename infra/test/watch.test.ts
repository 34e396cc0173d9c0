import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import type { Settings } from '../lib/settings.ts';
import { LOG_LINES, REPORT, REPORTED } from '../lib/watch/log-lines.ts';
import { dataTemplate, PRODUCTION, serviceTemplate, TRIAL } from './stacks.ts';

const ALARM = 'AWS::CloudWatch::Alarm';
const REPOSITORY = new URL('../../', import.meta.url);

function alarms(template: Template) {
  return Object.values(template.findResources(ALARM)).map((each) => each['Properties']);
}

/** The names by which descriptions send people to the handbook. */
function names(template: Template): string[] {
  return alarms(template).map((each) => /"(\w+)"\.$/.exec(each.AlarmDescription)?.[1] ?? each.AlarmDescription);
}

function withAlarms(settings: Settings, alarms: Settings['alarms']): Settings {
  return { ...settings, alarms };
}

test('every alarm tells when it comes and when it goes', () => {
  for (const each of [...alarms(dataTemplate(TRIAL)), ...alarms(serviceTemplate(TRIAL))]) {
    assert.equal(each.AlarmActions.length, 1, each.AlarmDescription);
    assert.deepEqual(each.OKActions, each.AlarmActions);
  }
});

test('every alarm has its section in the handbook, and every section its alarm', () => {
  const handbook = readFileSync(new URL('docs/operations/alarms.md', REPOSITORY), 'utf8');
  const sections = [...handbook.matchAll(/^### (\w+)$/gm)].map((match) => match[1]!);
  const all = [...names(dataTemplate(TRIAL)), ...names(serviceTemplate(TRIAL))];
  assert.deepEqual(sections.toSorted(), all.toSorted());
});

test('the log, the publisher and the way to nodes are watched', () => {
  const found = names(dataTemplate(TRIAL));
  for (const name of ['PublisherBehind', 'PublisherFails', 'BatchesGivenUp', 'LogThrottled', 'CommitsSlow', 'DeliveriesFail']) {
    assert.ok(found.includes(name), name);
  }
});

test('lines that are counted are lines that nodes write', () => {
  const sources = (readdirSync(new URL('ws-server/src/', REPOSITORY), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.rs'))
    .map((name) => readFileSync(new URL(`ws-server/src/${name}`, REPOSITORY), 'utf8'))
    .join('\n');
  for (const { id, message } of LOG_LINES) {
    const written = new RegExp(`tracing::(?:warn|error)!\\((?:[^;]*?, )?"${message}"`);
    assert.match(sources, written, id);
  }
});

test('lines are counted by their message field, as the JSON format writes it', () => {
  const template = serviceTemplate(TRIAL);
  template.resourceCountIs('AWS::Logs::MetricFilter', LOG_LINES.length + REPORTED.length + 1);
  template.hasResourceProperties('AWS::Logs::MetricFilter', {
    FilterPattern: '{ $.message = "the message log refused a segment" }',
    MetricTransformations: [{ MetricName: 'SegmentRefused', MetricNamespace: 'Roomcast/service', MetricValue: '1', DefaultValue: 0 }],
  });
});

test('numbers that are taken from the report are numbers that nodes report', () => {
  const source = readFileSync(new URL('ws-server/src/telemetry/report.rs', REPOSITORY), 'utf8');
  const line = /tracing::info!\(([^;]*)"([^"]+)"\s*\);/.exec(source);
  assert.equal(line?.[2], REPORT);
  for (const { field } of REPORTED) {
    assert.match(line![1]!, new RegExp(`^\\s*${field} = `, 'm'), field);
  }
  serviceTemplate(TRIAL).hasResourceProperties('AWS::Logs::MetricFilter', {
    FilterPattern: '{ ($.message = "the last minute") && ($.commit_p99_ms >= 0) }',
    MetricTransformations: [{ MetricName: 'CommitsWaitLong', MetricNamespace: 'Roomcast/service', MetricValue: '$.commit_p99_ms' }],
  });
});

test('a broken chain is told for as long as it lasts, not when a node finds it', () => {
  const template = serviceTemplate(TRIAL);
  template.hasResourceProperties('AWS::Logs::MetricFilter', {
    FilterPattern: '{ ($.message = "the last minute") && ($.chain_broken >= 0) }',
    MetricTransformations: [{ MetricName: 'ChainBroken', MetricValue: '$.chain_broken' }],
  });
  template.hasResourceProperties(ALARM, { MetricName: 'ChainBroken', Statistic: 'Sum', Threshold: 0, DatapointsToAlarm: 3 });
});

test('a service of a fixed size is not said to be at its most', () => {
  const { scaling } = TRIAL.service;
  const fixed = { ...TRIAL, service: { ...TRIAL.service, scaling: { ...scaling, maxTasks: scaling.minTasks } } };
  assert.ok(names(serviceTemplate(TRIAL)).includes('NodesAtMost'));
  assert.ok(!names(serviceTemplate(fixed)).includes('NodesAtMost'));
});

test('alarms go to a new topic, to an address if there is one', () => {
  const template = dataTemplate(withAlarms(TRIAL, { enabled: true, email: 'ops@example.com' }));
  template.hasResourceProperties('AWS::SNS::Subscription', { Protocol: 'email', Endpoint: 'ops@example.com' });
});

test('alarms go to a topic that exists', () => {
  const topicArn = 'arn:aws:sns:eu-west-1:123456789012:pager';
  const template = dataTemplate(withAlarms(TRIAL, { enabled: true, topicArn }));
  template.resourceCountIs('AWS::SNS::Topic', 1);
  assert.deepEqual(alarms(template)[0].AlarmActions, [topicArn]);
  template.hasOutput('AlarmTopicArn', { Value: topicArn });
});

test('without alarms there are none', () => {
  const silent = withAlarms(TRIAL, { enabled: false });
  dataTemplate(silent).resourceCountIs(ALARM, 0);
  serviceTemplate(silent).resourceCountIs(ALARM, 0);
});

test('one dashboard shows both stacks', () => {
  const template = serviceTemplate(PRODUCTION);
  template.resourceCountIs('AWS::CloudWatch::Dashboard', 1);
  const [dashboard] = Object.values(template.findResources('AWS::CloudWatch::Dashboard'));
  const text = JSON.stringify(dashboard);
  for (const name of ['ActiveConnectionCount', 'SuccessfulRequestLatency', 'IteratorAge', 'NumberOfNotificationsFailed', 'ChainBroken']) {
    assert.ok(text.includes(name), name);
  }
});
