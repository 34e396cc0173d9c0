import { App, type Environment, type Stack } from 'aws-cdk-lib';
import flags from 'aws-cdk-lib/recommended-feature-flags.json' with { type: 'json' };
import { checkSettings } from './check-settings.ts';
import { DataStack } from './data-stack.ts';
import { publisherCode } from './data/publisher-code.ts';
import { given, override, refuseUnknown } from './overrides.ts';
import { RoomcastStack } from './roomcast-stack.ts';
import { SettingsError } from './settings-error.ts';
import { serverImage } from './service/server-image.ts';
import { ServiceStack } from './service-stack.ts';
import type { Settings } from './settings.ts';

/** Where `cargo lambda build` leaves the publisher. */
const PUBLISHER = new URL('../../target/lambda/stream-publisher', import.meta.url).pathname;

/** An app with CDK's current behaviour, in programs and tests alike. */
export function newApp(): App {
  return new App({ context: { ...flags } });
}

/** An app whose templates are not checked against CDK's own rules, which takes seconds: for what is checked elsewhere. */
export function uncheckedApp(): App {
  return new App({ context: { ...flags }, builtinCloudFormationValidation: false, treeMetadata: false });
}

/** The settings of `-c environment`, with the other `-c`, checked. */
export function chosenSettings(app: App, environments: Readonly<Record<string, Settings>>): Settings {
  refuseUnknown(app.node.getAllContext() as Record<string, unknown>);
  const name = given(app.node, 'environment') ?? 'trial';
  const settings = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (settings === undefined) {
    throw new SettingsError(`-c environment=${name}: there is no such environment; there are ${Object.keys(environments).join(', ')}`);
  }
  const chosen = override(settings, app.node);
  checkSettings(chosen);
  return chosen;
}

/** The stacks of an environment; only the data for `local`. */
export function deployment(app: App, settings: Settings): void {
  const name = `roomcast-${settings.environment}`;
  const env: Environment = {
    ...(settings.account && { account: settings.account }),
    ...(settings.region && { region: settings.region }),
  };
  const tags = { application: 'roomcast', environment: settings.environment };
  const shared = { env, tags, terminationProtection: settings.protect };
  const code = publisherCode(given(app.node, 'lambda') ?? PUBLISHER, settings.data.publisherArchitecture);
  const image = (stack: Stack) => serverImage(stack, settings.service.task);
  if (settings.stacks === 'one') {
    new RoomcastStack(app, name, { ...shared, settings, code: () => code, image });
    return;
  }
  const data = new DataStack(app, `${name}-data`, { ...shared, settings, code: () => code });
  if (settings.stacks === 'data') {
    return;
  }
  const service = new ServiceStack(app, `${name}-service`, {
    ...shared,
    settings: () => settings,
    image,
    dataStack: () => data.stackName,
  });
  // They find each other by exports, which say nothing of who comes first.
  service.addStackDependency(data);
}
