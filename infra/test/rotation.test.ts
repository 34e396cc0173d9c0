import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const SCRIPT = new URL('../scripts/rotate-cluster-key.sh', import.meta.url).pathname;
const FAKES = new URL('fixtures', import.meta.url).pathname;

const ONE = 'roomcast-trial';
const TWO = 'roomcast-trial-data roomcast-trial-service';

function rotate(step: string, key: string, stacks = ONE) {
  const folder = mkdtempSync(join(tmpdir(), 'rotate-'));
  const files = { SECRET: join(folder, 'secret'), CALLS: join(folder, 'calls') };
  writeFileSync(files.SECRET, key);
  writeFileSync(files.CALLS, '');
  const env = { ...process.env, ...files, STACKS: stacks, PATH: `${FAKES}:${process.env['PATH']}` };
  const { status, stderr } = spawnSync('bash', [SCRIPT, 'trial', step], { encoding: 'utf8', env });
  const calls = readFileSync(files.CALLS, 'utf8').split('\n');
  return { status, stderr, key: readFileSync(files.SECRET, 'utf8'), calls };
}

test('each step leaves the keys that the next one needs', () => {
  assert.equal(rotate('begin', 'old').key, 'old,new-key');
  assert.equal(rotate('switch', 'old,new').key, 'new,old');
  assert.equal(rotate('end', 'new,old').key, 'new');
});

for (const stacks of [ONE, TWO]) test(`all three steps, each on every node before the next: ${stacks}`, () => {
  const { status, stderr, calls } = rotate('all', 'old', stacks);
  assert.equal(status, 0, stderr);
  const story = calls.filter((call) => /^(ecs|old|new)/.test(call));
  const rolled = ['ecs update-service', 'ecs wait'];
  assert.deepEqual(story, ['ecs wait', 'old,new-key', ...rolled, 'ecs wait', 'new-key,old', ...rolled, 'ecs wait', 'new-key', ...rolled]);
});

test('a step out of turn changes nothing', () => {
  for (const [step, key] of [['begin', 'old,new'], ['switch', 'old'], ['end', 'old']] as const) {
    const { status, stderr, key: after, calls } = rotate(step, key);
    assert.equal(status, 1);
    assert.match(stderr, /^rotate-cluster-key: there (is one key|are two keys)[^\n]*\n$/);
    assert.equal(after, key);
    assert.ok(!calls.includes('ecs update-service'));
  }
});

test('an unknown step is refused', () => {
  const { status, stderr } = rotate('undo', 'old');
  assert.equal(status, 1);
  assert.equal(stderr, 'rotate-cluster-key: undo is no step: begin, switch, end, all\n');
});
