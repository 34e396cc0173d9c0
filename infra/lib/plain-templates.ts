import { type App, CfnParameter, DefaultStackSynthesizer, type Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { DataStack } from './data-stack.ts';
import { newApp } from './deployment.ts';
import { local } from '../settings/local.ts';
import { production } from '../settings/production.ts';
import type { Settings } from './settings.ts';

/** No assets, and nothing of CDK's in the account: what a template names comes in as parameters. */
function plain() {
  const synthesizer = new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
  return { plain: true, analyticsReporting: false, synthesizer };
}

/** The data for plain CloudFormation: the publisher's zip file lies in a bucket. */
export function dataTemplate(app: App, settings: Settings, id = 'data'): DataStack {
  return new DataStack(app, id, { settings, ...plain(), code: zipInBucket });
}

function zipInBucket(stack: Stack): lambda.Code {
  const bucketNameParam = new CfnParameter(stack, 'PublisherBucket', {
    description: "Bucket with the publisher's zip file",
  });
  const objectKeyParam = new CfnParameter(stack, 'PublisherKey', {
    description: "The zip file's key in the bucket; a new version needs a new key",
  });
  return lambda.Code.fromCfnParameters({ bucketNameParam, objectKeyParam });
}

/** The templates by file name, as they are kept in `cloudformation/`. */
export function templates(): Readonly<Record<string, string>> {
  const app = newApp();
  const stacks: Record<string, Stack> = {
    'data.json': dataTemplate(app, production),
    'data-local.json': dataTemplate(app, local, 'data-local'),
  };
  const assembly = app.synth();
  const text = (stack: Stack) => `${JSON.stringify(assembly.getStackArtifact(stack.artifactId).template, undefined, 1)}\n`;
  return Object.fromEntries(Object.entries(stacks).map(([name, stack]) => [name, text(stack)]));
}
