import type { Node } from 'constructs';
import { SettingsError } from './settings-error.ts';
import type { Settings } from './settings.ts';

/** What `-c name=value` may say, so that a first deployment needs no edited file. */
export const OVERRIDES: Readonly<Record<string, string>> = {
  environment: 'which settings: trial (without it), staging, production, local',
  domainName: 'host name that clients and SNS come to',
  certificateArn: 'certificate of ACM for it, in the same region',
  zoneId: 'Route 53 zone for the host name, with zoneName',
  zoneName: "that zone's name",
  vpcId: 'an existing network, looked up; needs account and region',
  account: 'AWS account',
  region: 'AWS region',
  accelerator: 'size of two Valkey nodes for hints, for example cache.t4g.small; without it there are none',
  imageUri: 'an image of the server that exists, instead of building one',
  alarmTopicArn: 'an SNS topic that exists, for alarms',
  alarmEmail: 'an address that alarms are sent to',
  lambda: "the publisher's folder or zip, instead of ../target/lambda/stream-publisher",
};

/** The text given for a name, if any. */
export function given(node: Node, name: string): string | undefined {
  const value: unknown = node.tryGetContext(name);
  return value === undefined ? undefined : String(value);
}

/** Names that nobody reads are mistakes of writing. CDK's own have a colon, an `@` or a hyphen. */
export function refuseUnknown(context: Readonly<Record<string, unknown>>): void {
  for (const name of Object.keys(context)) {
    if (/^[A-Za-z]+$/.test(name) && !(name in OVERRIDES)) {
      throw new SettingsError(`-c ${name}: there is no such setting; there are ${Object.keys(OVERRIDES).join(', ')}`);
    }
  }
}

/** The settings with what was given on the command line. */
export function override(settings: Settings, node: Node): Settings {
  const text = (name: string) => given(node, name);
  const [domainName, certificateArn, vpcId, imageUri] = ['domainName', 'certificateArn', 'vpcId', 'imageUri'].map(text);
  const [zoneId, zoneName, account, region] = ['zoneId', 'zoneName', 'account', 'region'].map(text);
  const [topicArn, email, nodeType] = ['alarmTopicArn', 'alarmEmail', 'accelerator'].map(text);
  if ((zoneId === undefined) !== (zoneName === undefined)) {
    throw new SettingsError('-c zoneId and -c zoneName go together');
  }
  const { service, alarms } = settings;
  return {
    ...settings,
    ...(account && { account }),
    ...(region && { region }),
    service: {
      ...service,
      network: vpcId ? { kind: 'existing', vpcId } : service.network,
      entrance: {
        ...service.entrance,
        ...(domainName && { domainName }),
        ...(certificateArn && { certificateArn }),
        // A name or a certificate means TLS, whatever the environment.
        ...((domainName ?? certificateArn) && { protocol: 'https' as const }),
        ...(zoneId && zoneName && { zone: { id: zoneId, name: zoneName } }),
      },
      task: { ...service.task, ...(imageUri && { imageUri }) },
      ...(nodeType && { accelerator: { nodes: 2, ...service.accelerator, nodeType } }),
    },
    alarms: { ...alarms, ...(topicArn && { topicArn }), ...(email && { email }) },
  };
}
