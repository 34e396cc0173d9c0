import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { DataStack } from '../lib/data-stack.ts';
import { uncheckedApp } from '../lib/deployment.ts';
import { RoomcastStack } from '../lib/roomcast-stack.ts';
import { ServiceStack } from '../lib/service-stack.ts';
import { serverImage } from '../lib/service/server-image.ts';
import type { DataSettings, ServiceSettings, Settings } from '../lib/settings.ts';
import { production } from '../settings/production.ts';
import { trial } from '../settings/trial.ts';

/** What stands for the built publisher. */
export const PUBLISHER = new URL('fixtures/publisher', import.meta.url).pathname;
export const IMAGE = 'public.ecr.aws/roomcast/ws-server:1';
export const CERTIFICATE = 'arn:aws:acm:eu-west-1:123456789012:certificate/0a1b';

/** A trial with an image that need not be built. */
export const TRIAL = withImage(trial);
/** Production with all that must be given. */
export const PRODUCTION = changed(withImage(production), {
  entrance: { ...production.service.entrance, domainName: 'chat.example.com', certificateArn: CERTIFICATE },
});

/** The same with hints through Valkey; a trial with one node of it. */
export const ACCELERATED = changed(PRODUCTION, { accelerator: { nodeType: 'cache.t4g.small', nodes: 2 } });
export const ACCELERATED_TRIAL = changed(TRIAL, { accelerator: { nodeType: 'cache.t4g.micro', nodes: 1 } });

function withImage(settings: Settings): Settings {
  return changed(settings, { task: { ...settings.service.task, imageUri: IMAGE } });
}

/** A trial as its one stack. */
export function wholeStack(settings: Settings, app = uncheckedApp()): RoomcastStack {
  return new RoomcastStack(app, 'roomcast', {
    settings,
    code: () => lambda.Code.fromAsset(PUBLISHER),
    image: (stack) => serverImage(stack, settings.service.task),
  });
}

/** Settings with other ones of the service. */
export function changed(settings: Settings, service: Partial<ServiceSettings>): Settings {
  return { ...settings, service: { ...settings.service, ...service } };
}

/** Settings with other ones of the data. */
export function changedData(settings: Settings, data: Partial<DataSettings>): Settings {
  return { ...settings, data: { ...settings.data, ...data } };
}

const dataTemplates = new Map<Settings, Template>();
const serviceTemplates = new Map<Settings, Template>();

/** The data stack as CloudFormation gets it. */
export function dataTemplate(settings: Settings): Template {
  return cached(dataTemplates, settings, () => Template.fromStack(dataStack(settings)));
}

/** The service stack as CloudFormation gets it. */
export function serviceTemplate(settings: Settings): Template {
  return cached(serviceTemplates, settings, () => Template.fromStack(serviceStack(settings)));
}

export function dataStack(settings: Settings, app = uncheckedApp()): DataStack {
  return new DataStack(app, 'data', { settings, code: () => lambda.Code.fromAsset(PUBLISHER) });
}

export function serviceStack(settings: Settings, app = uncheckedApp()): ServiceStack {
  const { account, region } = settings;
  return new ServiceStack(app, 'service', {
    ...(account && region && { env: { account, region } }),
    settings: () => settings,
    image: (stack) => serverImage(stack, settings.service.task),
    dataStack: () => 'data',
  });
}

function cached(made: Map<Settings, Template>, settings: Settings, make: () => Template): Template {
  const template = made.get(settings) ?? make();
  made.set(settings, template);
  return template;
}
