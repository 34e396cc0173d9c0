import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match } from 'aws-cdk-lib/assertions';
import { newApp } from '../lib/deployment.ts';
import { override } from '../lib/overrides.ts';
import { REDIS_PORT } from '../lib/service/ports.ts';
import { ACCELERATED, ACCELERATED_TRIAL, PRODUCTION, serviceTemplate, TRIAL } from './stacks.ts';

const VALKEY = 'AWS::ElastiCache::ReplicationGroup';
const template = serviceTemplate(ACCELERATED);

function container() {
  return Object.values(template.findResources('AWS::ECS::TaskDefinition'))[0]!['Properties'].ContainerDefinitions[0];
}

test('nobody pays for Valkey who has not asked for it', () => {
  for (const settings of [TRIAL, PRODUCTION]) {
    const plain = serviceTemplate(settings);
    plain.resourceCountIs(VALKEY, 0);
    assert.doesNotMatch(JSON.stringify(plain.toJSON()), /ROOMCAST_REDIS/);
  }
});

test('Valkey is encrypted, asks for a password, and keeps nothing', () => {
  template.hasResourceProperties(VALKEY, {
    Engine: 'valkey',
    CacheNodeType: 'cache.t4g.small',
    NumCacheClusters: 2,
    AutomaticFailoverEnabled: true,
    MultiAZEnabled: true,
    TransitEncryptionEnabled: true,
    AtRestEncryptionEnabled: true,
    SnapshotRetentionLimit: 0,
    Port: REDIS_PORT,
  });
  const token = Object.values(template.findResources(VALKEY))[0]!['Properties'].AuthToken;
  assert.match(JSON.stringify(token), /\{\{resolve:secretsmanager:.*:SecretString:/, 'the template names the secret and shows no password');
});

test('a single node fails over to nothing', () => {
  serviceTemplate(ACCELERATED_TRIAL).hasResourceProperties(VALKEY, {
    NumCacheClusters: 1,
    AutomaticFailoverEnabled: false,
    MultiAZEnabled: false,
  });
});

test('nodes are told where it is, and the password as a secret', () => {
  const url = container().Environment.find(({ Name }: { Name: string }) => Name === 'ROOMCAST_REDIS_URL').Value;
  const [scheme, host, port] = url['Fn::Join'][1];
  assert.deepEqual([scheme, host['Fn::GetAtt'][1], port], ['rediss://', 'PrimaryEndPoint.Address', `:${REDIS_PORT}`]);
  const secrets = container().Secrets.map(({ Name }: { Name: string }) => Name);
  assert.deepEqual(secrets, ['ROOMCAST_CLUSTER_KEY', 'ROOMCAST_REDIS_PASSWORD']);
});

test('nodes reach it and nobody else does', () => {
  const groups = template.findResources('AWS::EC2::SecurityGroup');
  const id = (description: string) => Object.entries(groups).find(([, group]) => group['Properties'].GroupDescription === description)![0];
  const [nodes, valkey] = [id('Roomcast: nodes'), id('Roomcast: Valkey')];
  const inwards = Object.values(template.findResources('AWS::EC2::SecurityGroupIngress'));
  const toValkey = inwards.filter(({ Properties }) => Properties.GroupId['Fn::GetAtt'][0] === valkey);
  assert.equal(toValkey.length, 1);
  assert.deepEqual(
    [toValkey[0]!['Properties'].SourceSecurityGroupId['Fn::GetAtt'][0], toValkey[0]!['Properties'].FromPort],
    [nodes, REDIS_PORT],
  );
  assert.equal(groups[valkey]!['Properties'].SecurityGroupIngress, undefined);
  template.hasResourceProperties('AWS::EC2::SecurityGroupEgress', {
    GroupId: { 'Fn::GetAtt': [nodes, 'GroupId'] },
    ToPort: REDIS_PORT,
    DestinationSecurityGroupId: Match.anyValue(),
  });
});

test('`-c accelerator` asks for two nodes of a size', () => {
  const app = newApp();
  app.node.setContext('accelerator', 'cache.m7g.large');
  assert.deepEqual(override(TRIAL, app.node).service.accelerator, { nodes: 2, nodeType: 'cache.m7g.large' });
  assert.equal(override(TRIAL, newApp().node).service.accelerator, undefined);
});
