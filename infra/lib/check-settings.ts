import { isIPv4 } from 'node:net';
import { LOG_DAYS } from './log-retention.ts';
import { SettingsError } from './settings-error.ts';
import type { AcceleratorSettings, AlarmSettings, DataSettings, EntranceSettings, NetworkSettings, ScalingSettings, Settings, TaskSettings } from './settings.ts';

/** Seconds that Fargate gives a stopping task at most. */
export const STOP_TIMEOUT = 120;
/** Seconds that a node keeps a connection between requests (`NEXT_HEAD_WITHIN` in ws-server). */
export const NODE_KEEPS = 130;
/** Addresses of a subnet, a public and a private one in each zone. */
export const SUBNET_PREFIX = 26;
/** Seconds that a node may need after its drain: last connections, commits under way, unsubscribing, the lease. */
export const AFTER_DRAIN = 30;

/** Fargate's pairs: processor units, and the MiB that go with them from, to, and in steps of. */
const SIZES: ReadonlyMap<number, readonly [from: number, to: number, step: number]> = new Map([
  [256, [512, 2_048, 512]],
  [512, [1_024, 4_096, 1_024]],
  [1_024, [2_048, 8_192, 1_024]],
  [2_048, [4_096, 16_384, 1_024]],
  [4_096, [8_192, 30_720, 1_024]],
  [8_192, [16_384, 61_440, 4_096]],
  [16_384, [32_768, 122_880, 8_192]],
]);

/**
 * Finds what cannot be right before CloudFormation does.
 *
 * @throws SettingsError with the setting and the reason, in one line.
 */
export function checkSettings(settings: Settings): void {
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(settings.environment)) {
    refuse('environment', `${settings.environment} is no name of small letters, digits and hyphens`);
  }
  if (settings.protect && settings.stacks === 'one') {
    refuse('stacks', 'what is protected must not share a stack with what is made anew: two');
  }
  const { service, account, region } = settings;
  if (account !== undefined && !/^\d{12}$/.test(account)) {
    refuse('account', `${account} is no account: 12 digits`);
  }
  if (region !== undefined && !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)) {
    refuse('region', `${region} is no region (eu-west-1, …)`);
  }
  checkData(settings.data);
  logDays('service.logDays', service.logDays);
  checkNetwork(service.network, settings);
  checkEntrance(service.entrance, settings);
  checkTask(service.task, service.entrance);
  if (service.metricsReaders !== undefined && !/^sg-[0-9a-f]{8,17}$/.test(service.metricsReaders)) {
    refuse('service.metricsReaders', `${service.metricsReaders} is no id of a security group (sg-…)`);
  }
  checkScaling(service.scaling, service.task);
  if (service.accelerator) {
    checkAccelerator(service.accelerator);
  }
  checkAlarms(settings.alarms);
}

function checkData(data: DataSettings): void {
  whole('data.topicShards', data.topicShards, 1, 64);
  whole('data.publisherMemory', data.publisherMemory, 128, 10_240);
  logDays('data.logDays', data.logDays);
  const { restoredMessages } = data;
  if (restoredMessages && !restoredMessages.streamArn.includes(`:table/${restoredMessages.tableName}/stream/`)) {
    refuse('data.restoredMessages', `${restoredMessages.streamArn} is no stream of the table ${restoredMessages.tableName}`);
  }
}

function checkNetwork(network: NetworkSettings, { account, region }: Settings): void {
  if (network.kind !== 'new' && !/^vpc-[0-9a-f]{8,17}$/.test(network.vpcId)) {
    refuse('network.vpcId', `${network.vpcId} is no id of a network (vpc-…)`);
  }
  const placed = account !== undefined && region !== undefined;
  switch (network.kind) {
    case 'new':
      whole('network.zones', network.zones, 2, 6);
      checkRange(network.cidr, network.zones);
      if (network.zones > 2 && !placed) {
        refuse('network.zones', 'more than 2 are only known where account and region are set');
      }
      whole('network.natGateways', network.natGateways, 1, network.zones);
      return;
    case 'existing':
      if (!placed) {
        refuse('network.vpcId', 'an existing network is looked up, for which account and region must be set (-c account, -c region)');
      }
      return;
    case 'given':
      if (network.availabilityZones.length < 2) {
        refuse('network.availabilityZones', 'a load balancer needs two zones');
      }
      for (const kind of ['publicSubnetIds', 'privateSubnetIds'] as const) {
        if (network[kind].length !== network.availabilityZones.length) {
          refuse(`network.${kind}`, 'one for each availability zone, in their order');
        }
      }
  }
}

function checkRange(cidr: string, zones: number): void {
  const [, address, prefix] = /^((?:\d{1,3}\.){3}\d{1,3})\/(1[6-9]|2[0-4])$/.exec(cidr) ?? [];
  if (address === undefined || !isIPv4(address)) {
    refuse('network.cidr', `${cidr} is no IPv4 range between /16 and /24`);
  }
  const subnets = 2 ** (SUBNET_PREFIX - Number(prefix));
  if (2 * zones > subnets) {
    refuse('network.cidr', `${cidr} has room for ${subnets} subnets of /${SUBNET_PREFIX}, and ${zones} zones take ${2 * zones}`);
  }
}

function checkEntrance(entrance: EntranceSettings, settings: Settings): void {
  if (entrance.protocol === 'https') {
    if (entrance.domainName === undefined) {
      refuse('entrance.domainName', `${settings.environment} speaks HTTPS and needs the host name of its certificate (-c domainName)`);
    }
    if (entrance.certificateArn === undefined && entrance.zone === undefined) {
      refuse('entrance.certificateArn', `${settings.environment} speaks HTTPS and needs a certificate (-c certificateArn), or a Route 53 zone to make one in (-c zoneId, -c zoneName)`);
    }
  } else if (settings.protect) {
    refuse('entrance.protocol', `${settings.environment} is protected and must not speak plain HTTP`);
  }
  const { domainName, certificateArn, zone } = entrance;
  if (domainName !== undefined && !/^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/.test(domainName)) {
    refuse('entrance.domainName', `${domainName} is no host name (SNS takes none with an underscore)`);
  }
  if (certificateArn !== undefined && !/^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate\/.+$/.test(certificateArn)) {
    refuse('entrance.certificateArn', `${certificateArn} is no certificate of ACM`);
  }
  if (zone && domainName !== undefined && domainName !== zone.name && !domainName.endsWith(`.${zone.name}`)) {
    refuse('entrance.zone', `${domainName} is not in the zone ${zone.name}`);
  }
  // The node must not be the one that closes first.
  whole('entrance.idleTimeout', entrance.idleTimeout, 1, NODE_KEEPS - 1);
  whole('entrance.deregistrationDelay', entrance.deregistrationDelay, 0, 60);
}

function checkTask(task: TaskSettings, entrance: EntranceSettings): void {
  const size = SIZES.get(task.cpu);
  if (!size) {
    refuse('task.cpu', `${task.cpu} is no size of Fargate; there are ${[...SIZES.keys()].join(', ')}`);
  }
  const [from, to, step] = size;
  if (task.memory < from || task.memory > to || (task.memory - from) % step !== 0) {
    refuse('task.memory', `${task.memory} MiB do not go with ${task.cpu} units: ${from} to ${to} in steps of ${step}`);
  }
  whole('task.connections', task.connections, 1, 1_000_000);
  whole('task.heartbeatMs', task.heartbeatMs, 100, 300_000);
  whole('task.retentionHours', task.retentionHours, 24, 87_600);
  whole('task.drainMs', task.drainMs, 0, (STOP_TIMEOUT - AFTER_DRAIN) * 1_000);
  if (task.heartbeatMs * 2 >= entrance.idleTimeout * 1_000) {
    refuse('entrance.idleTimeout', `${entrance.idleTimeout} s is not above two heartbeats of ${task.heartbeatMs} ms: quiet connections would be cut`);
  }
}

function checkScaling(scaling: ScalingSettings, task: TaskSettings): void {
  whole('scaling.minTasks', scaling.minTasks, 1, 1_000);
  whole('scaling.maxTasks', scaling.maxTasks, scaling.minTasks, 1_000);
  whole('scaling.connectionsPerTask', scaling.connectionsPerTask, 1, task.connections);
  whole('scaling.cpuPercent', scaling.cpuPercent, 10, 90);
}

function checkAccelerator({ nodeType, nodes }: AcceleratorSettings): void {
  if (!/^cache\.[a-z0-9]+\.[a-z0-9]+$/.test(nodeType)) {
    refuse('accelerator.nodeType', `${nodeType} is no size of ElastiCache (cache.t4g.small, …)`);
  }
  whole('accelerator.nodes', nodes, 1, 6);
}

function checkAlarms(alarms: AlarmSettings): void {
  if (alarms.topicArn !== undefined && !/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+$/.test(alarms.topicArn)) {
    refuse('alarms.topicArn', `${alarms.topicArn} is no SNS topic`);
  }
  if (alarms.email !== undefined && !/^[^@\s]+@[^@\s]+$/.test(alarms.email)) {
    refuse('alarms.email', `${alarms.email} is no address`);
  }
  if (alarms.topicArn !== undefined && alarms.email !== undefined) {
    refuse('alarms.email', 'addresses are subscribed to a new topic only, and alarms.topicArn names one that exists');
  }
}

function logDays(name: string, days: number): void {
  if (!LOG_DAYS.includes(days)) {
    refuse(name, `${days} days is none of CloudWatch's steps: ${LOG_DAYS.join(', ')}`);
  }
}

function whole(name: string, value: number, from: number, to: number): void {
  if (!Number.isInteger(value) || value < from || value > to) {
    refuse(name, `${value} is not a whole number from ${from} to ${to}`);
  }
}

function refuse(name: string, reason: string): never {
  throw new SettingsError(`${name}: ${reason}`);
}
