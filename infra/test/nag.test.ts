import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type App, Stack, Validations } from 'aws-cdk-lib';
import * as sns from 'aws-cdk-lib/aws-sns';
import { AwsSolutionsChecks } from 'cdk-nag';
import { uncheckedApp } from '../lib/deployment.ts';
import { ACCELERATED, ACCELERATED_TRIAL, dataStack, PRODUCTION, serviceStack, TRIAL, wholeStack } from './stacks.ts';

function checked(build: (app: App) => unknown): App {
  const app = uncheckedApp();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  build(app);
  return app;
}

const DEPLOYED = { production: PRODUCTION, trial: TRIAL, accelerated: ACCELERATED, 'accelerated trial': ACCELERATED_TRIAL };

for (const [name, settings] of Object.entries(DEPLOYED)) {
  test(`nothing in ${name} breaks a rule of AWS Solutions without a reason`, () => {
    const app = checked((app) => [dataStack(settings, app), serviceStack(settings, app)]);
    assert.doesNotThrow(() => app.synth());
  });
}

test('nothing in a trial as one stack does', () => {
  const app = checked((app) => wholeStack(TRIAL, app));
  assert.doesNotThrow(() => app.synth());
});

test('a broken rule is found', () => {
  const app = checked((app) => new sns.Topic(new Stack(app, 'Careless'), 'Topic'));
  assert.throws(() => app.synth(), /Validation failed/);
});
