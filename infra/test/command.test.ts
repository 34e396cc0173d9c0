import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CERTIFICATE, IMAGE, PUBLISHER } from './stacks.ts';

const INFRA = new URL('..', import.meta.url).pathname;

/** What `cdk synth -c …` runs, without the command line around it. */
function synthesize(context: Record<string, string>) {
  const out = mkdtempSync(join(tmpdir(), 'cdk-'));
  const run = spawnSync(process.execPath, ['--import', 'tsx', 'bin/app.ts'], {
    cwd: INFRA,
    encoding: 'utf8',
    env: { ...process.env, CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify(context) },
  });
  return { ...run, files: readdirSync(out).filter((name) => name.endsWith('.template.json')).sort() };
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

test('production comes from the command line alone', () => {
  const given = { domainName: 'chat.example.com', certificateArn: CERTIFICATE, imageUri: IMAGE, lambda: PUBLISHER };
  const { status, stderr, files } = synthesize({ environment: 'production', ...given });
  assert.equal(status, 0, stderr);
  assert.deepEqual(files, ['roomcast-production-data.template.json', 'roomcast-production-service.template.json']);
});

test('the local environment has data alone', () => {
  const { status, stderr, files } = synthesize({ environment: 'local', lambda: PUBLISHER });
  assert.equal(status, 0, stderr);
  assert.deepEqual(files, ['roomcast-local-data.template.json']);
});
