import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type App, Stack, Validations } from 'aws-cdk-lib';
import * as sns from 'aws-cdk-lib/aws-sns';
import { AwsSolutionsChecks } from 'cdk-nag';
import { newApp } from '../lib/deployment.ts';
import { dataStack, PRODUCTION, serviceStack, TRIAL } from './stacks.ts';

function checked(build: (app: App) => unknown): App {
  const app = newApp();
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  build(app);
  return app;
}

for (const [name, settings] of Object.entries({ production: PRODUCTION, trial: TRIAL })) {
  test(`nothing in ${name} breaks a rule of AWS Solutions without a reason`, () => {
    const app = checked((app) => [dataStack(settings, app), serviceStack(settings, app)]);
    assert.doesNotThrow(() => app.synth());
  });
}

test('a broken rule is found', () => {
  const app = checked((app) => new sns.Topic(new Stack(app, 'Careless'), 'Topic'));
  assert.throws(() => app.synth(), /Validation failed/);
});
