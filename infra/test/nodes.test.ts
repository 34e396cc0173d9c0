import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { AFTER_DRAIN, STOP_TIMEOUT } from '../lib/check-settings.ts';
import { ENVIRONMENTS } from '../settings/index.ts';
import type { Settings } from '../lib/settings.ts';
import { changed, changedData, IMAGE, PRODUCTION, serviceTemplate, TRIAL } from './stacks.ts';

const TASK = 'AWS::ECS::TaskDefinition';
const SERVICE = 'AWS::ECS::Service';

function container(template: Template) {
  return Object.values(template.findResources(TASK))[0]!['Properties'].ContainerDefinitions[0];
}

function variables(template: Template): Record<string, unknown> {
  const pairs: { Name: string; Value: unknown }[] = container(template).Environment;
  return Object.fromEntries(pairs.map(({ Name, Value }) => [Name, Value]));
}

test('nodes run on Fargate, on the processor and in the size of the settings', () => {
  serviceTemplate(TRIAL).hasResourceProperties(TASK, {
    Cpu: '512',
    Memory: '1024',
    RequiresCompatibilities: ['FARGATE'],
    RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' },
  });
  const intel = changed(TRIAL, { task: { ...TRIAL.service.task, architecture: 'x86_64' } });
  serviceTemplate(intel).hasResourceProperties(TASK, { RuntimePlatform: { CpuArchitecture: 'X86_64' } });
});

test('a node is nobody, writes no files, and may hold many connections', () => {
  const found = container(serviceTemplate(TRIAL));
  assert.equal(found.Image, IMAGE);
  assert.equal(found.User, '65532:65532');
  assert.equal(found.ReadonlyRootFilesystem, true);
  assert.deepEqual(found.Ulimits, [{ Name: 'nofile', SoftLimit: 1_048_576, HardLimit: 1_048_576 }]);
});

test('a stopping node has the time that its drain and its end need', () => {
  assert.equal(container(serviceTemplate(TRIAL)).StopTimeout, STOP_TIMEOUT);
  const server = readFileSync(new URL('../../ws-server/src/server/drain.rs', import.meta.url), 'utf8');
  const seconds = (name: string) => Number(new RegExp(`${name}: Duration = Duration::from_secs\\((\\d+)\\)`).exec(server)?.[1]);
  const bounded = seconds('LEAVE_WITHIN') + seconds('REST_WITHIN');
  assert.ok(bounded <= AFTER_DRAIN, `${bounded} s after the drain`);
  for (const { service } of Object.values(ENVIRONMENTS)) {
    assert.ok(service.task.drainMs / 1_000 + AFTER_DRAIN <= STOP_TIMEOUT);
  }
});

test('SNS reaches nodes through the load balancer', () => {
  const inClear = variables(serviceTemplate(TRIAL));
  assert.equal(inClear['ROOMCAST_SNS_RELAY'], 'true');
  assert.deepEqual(inClear['ROOMCAST_SNS_ENDPOINT'], {
    'Fn::Join': ['', ['http://', { 'Fn::GetAtt': ['EntranceBalancer27823B10', 'DNSName'] }]],
  });
  assert.equal(variables(serviceTemplate(PRODUCTION))['ROOMCAST_SNS_ENDPOINT'], 'https://chat.example.com');
});

test("every variable is one of the server's", () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const names = Object.keys(variables(serviceTemplate(TRIAL))).filter((name) => name !== 'AWS_REGION');
  assert.ok(names.length > 10);
  for (const name of names) {
    assert.ok(readme.includes(`| \`${name}\` |`), `${name} is not in README.md's table`);
  }
});

test('the cluster key is a secret and no variable', () => {
  const template = serviceTemplate(TRIAL);
  assert.equal(variables(template)['ROOMCAST_CLUSTER_KEY'], undefined);
  assert.deepEqual(container(template).Secrets, [
    { Name: 'ROOMCAST_CLUSTER_KEY', ValueFrom: { 'Fn::ImportValue': 'data-ClusterKeyArn' } },
  ]);
});

test('all topics come in their order', () => {
  const topics = variables(serviceTemplate(changedData(TRIAL, { topicShards: 2 })))['ROOMCAST_TOPIC_ARNS'];
  const all = { 'Fn::Split': [',', { 'Fn::ImportValue': 'data-TopicArns' }] };
  assert.deepEqual(topics, { 'Fn::Join': ['', [{ 'Fn::Select': [0, all] }, ',', { 'Fn::Select': [1, all] }]] });
});

test('further variables can be given', () => {
  const environment = { ROOMCAST_MAX_BODY: '4096' };
  const template = serviceTemplate(changed(TRIAL, { task: { ...TRIAL.service.task, environment } }));
  assert.equal(variables(template)['ROOMCAST_MAX_BODY'], '4096');
});

test('tasks have no public addresses; a deployment starts new ones first and goes back by itself', () => {
  serviceTemplate(TRIAL).hasResourceProperties(SERVICE, {
    NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'DISABLED' } },
    DeploymentConfiguration: {
      MinimumHealthyPercent: 100,
      MaximumPercent: 150,
      DeploymentCircuitBreaker: { Enable: true, Rollback: true },
    },
    HealthCheckGracePeriodSeconds: 60,
    // Autoscaling says how many; a number here would undo it at each deployment.
    DesiredCount: Match.absent(),
  });
});

test('a single node can still be replaced by one more', () => {
  const one = changed(TRIAL, { scaling: { ...TRIAL.service.scaling, minTasks: 1 } });
  serviceTemplate(one).hasResourceProperties(SERVICE, { DeploymentConfiguration: { MaximumPercent: 200 } });
});

test('only the load balancer reaches the public port, and only nodes the port for nodes', () => {
  const template = serviceTemplate(TRIAL);
  const group = { 'Fn::GetAtt': ['NodesGroup1EB0F824', 'GroupId'] };
  const rules = Object.values(template.findResources('AWS::EC2::SecurityGroupIngress')).map((each) => each['Properties']);
  const toNodes = rules.filter((rule) => JSON.stringify(rule.GroupId) === JSON.stringify(group));
  const sources = toNodes.map((rule) => [rule.FromPort, rule.ToPort, JSON.stringify(rule.SourceSecurityGroupId)]);
  assert.deepEqual(sources.sort(), [
    [8080, 8080, JSON.stringify({ 'Fn::GetAtt': ['EntranceGroup3C13FA19', 'GroupId'] })],
    [8090, 8090, JSON.stringify(group)],
  ]);
  template.hasResourceProperties('AWS::EC2::SecurityGroup', {
    GroupDescription: 'Roomcast: nodes',
    SecurityGroupIngress: Match.absent(),
    SecurityGroupEgress: [Match.objectLike({ FromPort: 443, ToPort: 443 })],
  });
});

test('metrics are at a port of their own, which only a security group reaches that the settings name', () => {
  const toMetrics = (settings: Settings) => {
    const found = (type: string) => Object.values(serviceTemplate(settings).findResources(type)).map((each) => each['Properties']);
    const inGroups = found('AWS::EC2::SecurityGroup').flatMap((group) => group.SecurityGroupIngress ?? []);
    const rules = [...inGroups, ...found('AWS::EC2::SecurityGroupIngress')];
    return rules.filter(({ FromPort, ToPort }) => FromPort <= 8070 && 8070 <= ToPort);
  };
  assert.deepEqual(toMetrics(TRIAL), []);
  const [rule, ...others] = toMetrics(changed(TRIAL, { metricsReaders: 'sg-0a1b2c3d' }));
  assert.deepEqual(others, []);
  assert.equal(rule.SourceSecurityGroupId, 'sg-0a1b2c3d');
});

test('the ports are those of the server', () => {
  const found = variables(serviceTemplate(TRIAL));
  const ports = container(serviceTemplate(TRIAL)).PortMappings.map((each: { ContainerPort: number }) => each.ContainerPort);
  assert.deepEqual(ports, [8080, 8090, 8070]);
  assert.equal(found['ROOMCAST_LISTEN'], '0.0.0.0:8080');
  assert.equal(found['ROOMCAST_LINK_LISTEN'], '0.0.0.0:8090');
  assert.equal(found['ROOMCAST_OPS_LISTEN'], '0.0.0.0:8070');
});
