import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkSettings } from '../lib/check-settings.ts';
import { SettingsError } from '../lib/settings-error.ts';
import type { EntranceSettings, NetworkSettings, Settings, TaskSettings } from '../lib/settings.ts';
import { ENVIRONMENTS } from '../settings/index.ts';
import { changed, changedData, PRODUCTION, TRIAL } from './stacks.ts';

const { task, scaling } = TRIAL.service;
const entranceOf = (settings: Settings, other: Partial<EntranceSettings>) =>
  changed(settings, { entrance: { ...settings.service.entrance, ...other } });
const withEntrance = (other: Partial<EntranceSettings>) => entranceOf(TRIAL, other);
const withTask = (other: Partial<TaskSettings>) => changed(TRIAL, { task: { ...task, ...other } });
const withNetwork = (network: NetworkSettings) => changed(TRIAL, { network });
const network = { kind: 'new', cidr: '10.0.0.0/16', zones: 2, natGateways: 1, flowLogs: false } as const;
const placed = (settings: Settings) => ({ ...settings, account: '123456789012', region: 'eu-west-1' });
const without = (name: 'domainName' | 'certificateArn') => {
  const { [name]: _, ...rest } = PRODUCTION.service.entrance;
  return changed(PRODUCTION, { entrance: rest });
};

const REFUSED: readonly (readonly [Settings, RegExp])[] = [
  [{ ...TRIAL, environment: 'My_Trial' }, /^environment: My_Trial is no name/],
  [without('certificateArn'), /^entrance.certificateArn: production speaks HTTPS and needs a certificate \(-c certificateArn\)/],
  [without('domainName'), /^entrance.domainName: production speaks HTTPS and needs the host name/],
  [entranceOf(PRODUCTION, { protocol: 'http' }), /^entrance.protocol: production is protected/],
  [entranceOf(PRODUCTION, { domainName: 'my_chat.example.com' }), /is no host name/],
  [entranceOf(PRODUCTION, { certificateArn: 'arn:aws:iam::1:server-certificate/x' }), /is no certificate of ACM/],
  [entranceOf(PRODUCTION, { zone: { id: 'Z1', name: 'example.org' } }), /chat.example.com is not in the zone example.org/],
  [withEntrance({ idleTimeout: 50 }), /^entrance.idleTimeout: 50 s is not above two heartbeats/],
  [withEntrance({ deregistrationDelay: 300 }), /^entrance.deregistrationDelay: 300 is not a whole number from 0 to 60/],
  [withTask({ cpu: 1_000 }), /^task.cpu: 1000 is no size of Fargate; there are 256, /],
  [withTask({ cpu: 256, memory: 4_096 }), /^task.memory: 4096 MiB do not go with 256 units: 512 to 2048/],
  [withTask({ cpu: 1_024, memory: 2_500 }), /^task.memory: 2500 MiB/],
  [withTask({ drainMs: 100_000 }), /^task.drainMs: 100000 is not a whole number from 0 to 90000/],
  [withTask({ retentionHours: 1 }), /^task.retentionHours/],
  [withTask({ connections: 100 }), /^scaling.connectionsPerTask: 1500 is not a whole number from 1 to 100/],
  [changed(TRIAL, { scaling: { ...scaling, maxTasks: 1 } }), /^scaling.maxTasks: 1 is not a whole number from 2/],
  [changed(TRIAL, { accelerator: { nodeType: 't4g.small', nodes: 2 } }), /^accelerator.nodeType: t4g.small is no size of ElastiCache/],
  [changed(TRIAL, { accelerator: { nodeType: 'cache.t4g.small', nodes: 0 } }), /^accelerator.nodes: 0 is not a whole number from 1 to 6/],
  [changed(TRIAL, { logDays: 8 }), /^service.logDays: 8 days is none of CloudWatch's steps/],
  [changed(TRIAL, { metricsReaders: 'prometheus' }), /^service.metricsReaders: prometheus is no id of a security group/],
  [changedData(TRIAL, { topicShards: 0 }), /^data.topicShards: 0 is not a whole number from 1 to 64/],
  [changedData(TRIAL, { publisherMemory: 64 }), /^data.publisherMemory/],
  [
    changedData(TRIAL, { restoredMessages: { tableName: 'restored', streamArn: 'arn:aws:dynamodb:eu-west-1:1:table/other/stream/x' } }),
    /^data.restoredMessages: .* is no stream of the table restored/,
  ],
  [withNetwork({ ...network, cidr: '10.0.0.0/8' }), /^network.cidr: 10.0.0.0\/8 is no IPv4 range between/],
  [withNetwork({ ...network, cidr: '10.0.300.0/16' }), /^network.cidr: 10.0.300.0\/16 is no IPv4 range/],
  [placed(withNetwork({ ...network, cidr: '10.0.0.0/24', zones: 3 })), /^network.cidr: .* has room for 4 subnets of \/26, and 3 zones take 6/],
  [withNetwork({ ...network, zones: 3 }), /^network.zones: more than 2 are only known where account and region/],
  [withNetwork({ ...network, natGateways: 3 }), /^network.natGateways/],
  [withNetwork({ kind: 'existing', vpcId: 'mine' }), /^network.vpcId: mine is no id of a network/],
  [withNetwork({ kind: 'existing', vpcId: 'vpc-0a1b2c3d' }), /^network.vpcId: an existing network is looked up/],
  [{ ...TRIAL, alarms: { enabled: true, email: 'nobody' } }, /^alarms.email: nobody is no address/],
  [{ ...TRIAL, alarms: { enabled: true, email: 'a@example.com', topicArn: 'arn:aws:sns:eu-west-1:123456789012:pager' } }, /^alarms.email: .* a new topic only/],
  [{ ...placed(TRIAL), account: '1234' }, /^account: 1234 is no account/],
  [{ ...placed(TRIAL), region: 'Ireland' }, /^region: Ireland is no region/],
  [{ ...TRIAL, alarms: { enabled: true, topicArn: 'pager' } }, /^alarms.topicArn: pager is no SNS topic/],
];

for (const [settings, message] of REFUSED) {
  test(`refused in one line: ${message.source}`, () => {
    assert.throws(
      () => checkSettings(settings),
      (error) => error instanceof SettingsError && message.test(error.message) && !error.message.includes('\n'),
    );
  });
}

test('what comes with the repository can be deployed, with a host name and a certificate where they are needed', () => {
  assert.deepEqual(Object.keys(ENVIRONMENTS), ['trial', 'staging', 'production', 'local']);
  const { domainName, certificateArn } = PRODUCTION.service.entrance;
  for (const settings of Object.values(ENVIRONMENTS)) {
    const { protocol } = settings.service.entrance;
    checkSettings(protocol === 'https' ? entranceOf(settings, { domainName: domainName!, certificateArn: certificateArn! }) : settings);
  }
});

test('a small range has room for the subnets of two zones, in any region', () => {
  checkSettings(withNetwork({ ...network, cidr: '10.0.0.0/24' }));
  for (const region of ['us-east-1', 'ap-southeast-2', 'us-gov-west-1']) {
    checkSettings({ ...placed(TRIAL), region });
  }
});

test('environments are told apart by their names', () => {
  for (const [name, settings] of Object.entries(ENVIRONMENTS)) {
    assert.equal(settings.environment, name);
  }
});
