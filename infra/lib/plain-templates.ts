import { type App, CfnParameter, DefaultStackSynthesizer, type Stack } from 'aws-cdk-lib';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { local } from '../settings/local.ts';
import { production } from '../settings/production.ts';
import { trial } from '../settings/trial.ts';
import { DataStack } from './data-stack.ts';
import { uncheckedApp } from './deployment.ts';
import { RoomcastStack } from './roomcast-stack.ts';
import { ServiceStack } from './service-stack.ts';
import type { Architecture, Settings } from './settings.ts';

/** No assets, and nothing of CDK's in the account: what a template names comes in as parameters. */
function plain() {
  const synthesizer = new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
  return { analyticsReporting: false, synthesizer };
}

/** The data for plain CloudFormation: the publisher's zip file lies in a bucket. */
export function dataTemplate(app: App, id: string, settings: Settings): DataStack {
  return new DataStack(app, id, { settings, ...plain(), plain: true, code: zipInBucket });
}

function zipInBucket(stack: Stack): lambda.Code {
  const bucketNameParam = parameter(stack, 'PublisherBucket', "Bucket with the publisher's zip file");
  const objectKeyParam = parameter(stack, 'PublisherKey', "The zip file's key in the bucket; a new version needs a new key");
  return lambda.Code.fromCfnParameters({ bucketNameParam, objectKeyParam });
}

/** All in one for plain CloudFormation. */
export function roomcastTemplate(app: App, id: string, settings: Settings): RoomcastStack {
  return new RoomcastStack(app, id, { settings, ...plain(), code: zipInBucket, image: imageInEcr });
}

/** The service for plain CloudFormation: the image lies in ECR, host name and certificate are parameters. */
export function serviceTemplate(app: App, id: string, settings: Settings): ServiceStack {
  return new ServiceStack(app, id, {
    ...plain(),
    settings: (stack) => withHostName(stack, settings),
    image: imageInEcr,
    dataStack: (stack) => parameter(stack, 'DataStack', 'Name of the stack with the data').valueAsString,
  });
}

function withHostName(stack: Stack, settings: Settings): Settings {
  const { service } = settings;
  if (service.entrance.protocol === 'http') {
    return settings;
  }
  const domainName = parameter(stack, 'DomainName', 'Host name that clients and SNS come to').valueAsString;
  const certificateArn = parameter(stack, 'CertificateArn', 'Certificate of ACM for it, in this region').valueAsString;
  return { ...settings, service: { ...service, entrance: { ...service.entrance, domainName, certificateArn } } };
}

function imageInEcr(stack: Stack): ecs.ContainerImage {
  const name = parameter(stack, 'ImageRepository', "ECR repository of the server's image, in this account and region");
  const tag = parameter(stack, 'ImageTag', 'Tag of the image');
  const repository = ecr.Repository.fromRepositoryName(stack, 'Image', name.valueAsString);
  return ecs.ContainerImage.fromEcrRepository(repository, tag.valueAsString);
}

function parameter(stack: Stack, name: string, description: string): CfnParameter {
  return new CfnParameter(stack, name, { description, minLength: 1 });
}

function withArchitecture(settings: Settings, publisherArchitecture: Architecture): Settings {
  return { ...settings, data: { ...settings.data, publisherArchitecture } };
}

/** The templates by file name, as they are kept in `cloudformation/`. */
export function templates(): Readonly<Record<string, string>> {
  const app = uncheckedApp();
  const stacks: Record<string, Stack> = {
    'data.json': dataTemplate(app, 'data', production),
    // Emulators run the publisher as a program of their own machine, whatever the template says.
    'data-local.json': dataTemplate(app, 'data-local', withArchitecture(local, 'x86_64')),
    'service.json': serviceTemplate(app, 'service', production),
    'trial.json': roomcastTemplate(app, 'trial', trial),
  };
  const assembly = app.synth();
  const text = (stack: Stack) => `${JSON.stringify(assembly.getStackArtifact(stack.artifactId).template, undefined, 1)}\n`;
  return Object.fromEntries(Object.entries(stacks).map(([name, stack]) => [name, text(stack)]));
}
