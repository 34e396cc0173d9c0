import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { OVERRIDES } from '../lib/overrides.ts';
import { CERTIFICATE, IMAGE, PUBLISHER } from './stacks.ts';

const INFRA = new URL('..', import.meta.url).pathname;

function run(program: string[], env: Record<string, string>, out: string) {
  // Neither account nor network: nobody is asked who we are.
  const alone = { AWS_EC2_METADATA_DISABLED: 'true', CDK_DISABLE_CLI_TELEMETRY: 'true' };
  const options = { cwd: INFRA, encoding: 'utf8', env: { ...process.env, ...alone, ...env } } as const;
  const ended = spawnSync(process.execPath, program, options);
  return { ...ended, files: readdirSync(out).filter((name) => name.endsWith('.template.json')).sort() };
}

/** What `cdk synth -c …` runs, without the command line around it, and without CDK's own rules, which take seconds. */
function synthesize(context: Record<string, string>) {
  const out = mkdtempSync(join(tmpdir(), 'cdk-'));
  const env = { CDK_OUTDIR: out, CDK_VALIDATION: 'false', CDK_CONTEXT_JSON: JSON.stringify(context) };
  return run(['--import', 'tsx', 'bin/app.ts'], env, out);
}

/** `cdk synth -c …` itself. */
function cdkSynth(context: Record<string, string>) {
  const out = mkdtempSync(join(tmpdir(), 'cdk-'));
  const given = Object.entries(context).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return run(['node_modules/.bin/cdk', 'synth', '--quiet', '--no-notices', '--output', out, ...given], {}, out);
}

const REFUSED: readonly (readonly [Record<string, string>, RegExp])[] = [
  [{ environment: 'prod' }, /there is no such environment; there are trial, staging, production, local/],
  [{ environment: 'production', domainName: 'chat.example.com' }, /needs a certificate \(-c certificateArn\)/],
  [{ certificate: 'x' }, /-c certificate: there is no such setting; there are environment, domainName/],
  [{ zoneId: 'Z1' }, /-c zoneId and -c zoneName go together/],
  [{ lambda: '/nowhere' }, /the publisher is not at \/nowhere: build it with: cargo lambda build/],
];

for (const [context, message] of REFUSED) {
  test(`the program ends with one line and a failure: ${message.source}`, () => {
    const { status, stderr, stdout, files } = synthesize(context);
    assert.equal(status, 1);
    assert.match(stderr, message);
    assert.match(stderr, /^roomcast: [^\n]+\n$/);
    assert.equal(stdout, '');
    assert.deepEqual(files, []);
  });
}

test('every name that -c takes is in the handbook', () => {
  const handbook = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  for (const name of Object.keys(OVERRIDES)) {
    assert.match(handbook, new RegExp(`^\\| .*\`${name}\`.* \\|`, 'm'), name);
  }
});

test("production needs no edited file: cdk synth, with what must be given, breaks none of CDK's rules", () => {
  const given = { domainName: 'chat.example.com', certificateArn: CERTIFICATE, imageUri: IMAGE, lambda: PUBLISHER };
  const { status, stderr, files } = cdkSynth({ environment: 'production', ...given });
  assert.equal(status, 0, stderr);
  assert.deepEqual(files, ['roomcast-production-data.template.json', 'roomcast-production-service.template.json']);
});

test('a trial is one stack, so that `cdk deploy` need not be told which', () => {
  const { status, stderr, files } = cdkSynth({ imageUri: IMAGE, lambda: PUBLISHER });
  assert.equal(status, 0, stderr);
  assert.deepEqual(files, ['roomcast-trial.template.json']);
});

test('the local environment has data alone', () => {
  const { status, stderr, files } = synthesize({ environment: 'local', lambda: PUBLISHER });
  assert.equal(status, 0, stderr);
  assert.deepEqual(files, ['roomcast-local-data.template.json']);
});
