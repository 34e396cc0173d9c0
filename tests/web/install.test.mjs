// How `tests/parts/install.sh` comes by a browser: with a machine's programs and a package manager made up for the test.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const SCRIPT = new URL('../parts/install.sh', import.meta.url).pathname;
const TOOLS = ['bash', 'sh', 'dirname', 'mkdir', 'flock', 'ln', 'env', 'tail', 'cat', 'chmod', 'readlink'];

/** A machine that has these programs (name → shell script) beside the basic ones. */
function machine(t, programs) {
  const home = mkdtempSync(join(tmpdir(), 'roomcast-install-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const bin = join(home, 'bin');
  mkdirSync(bin);
  for (const tool of TOOLS) {
    const found = ['/bin', '/usr/bin'].map((folder) => join(folder, tool)).find((path) => existsSync(path));
    assert.ok(found, tool);
    symlinkSync(found, join(bin, tool));
  }
  const add = (name, script) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  for (const [name, script] of Object.entries({ id: 'echo 0', ...programs })) add(name, script);
  return {
    bin, add,
    link: (part) => readlinkSync(join(home, 'parts', part)),
    calls: () => readFileSync(join(home, 'calls'), 'utf8').trim().split('\n'),
    install(part) {
      const env = { PATH: bin, CALLS: join(home, 'calls') };
      return spawnSync(join(bin, 'bash'), [SCRIPT, join(home, 'parts'), part], { env, encoding: 'utf8', timeout: 20_000 });
    },
  };
}

const CHROMIUM = '#!/bin/sh\\nexit 0\\n';
const installing = `printf '${CHROMIUM}' >"\${0%/*}/chromium" && chmod +x "\${0%/*}/chromium"`;

describe('a browser for the tests', () => {
  test('is the program that the machine has, by the name it is called', (t) => {
    const m = machine(t, { snap: 'exit 0' });
    symlinkSync(join(m.bin, 'snap'), join(m.bin, 'chromium')); // a program that goes by its name
    const { status, stderr } = m.install('chromium');
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(m.link('chromium'), join(m.bin, 'chromium'));
  });

  test('is installed although the lists of packages cannot be fetched', (t) => {
    const apt = `echo "$1" >>"$CALLS"; case $1 in update) echo 'no network' >&2; exit 100 ;; install) ${installing} ;; esac`;
    const m = machine(t, { 'apt-get': apt });
    const { status, stderr } = m.install('chromium');
    assert.deepEqual([status, stderr, m.calls()], [0, '', ['update', 'install']]);
    assert.equal(m.link('chromium'), join(m.bin, 'chromium'));
  });

  test('that cannot be installed is told with the name of its package', (t) => {
    const m = machine(t, { 'apt-get': 'echo "apt: no $1" >&2; exit 100' });
    const { status, stderr } = m.install('firefox');
    assert.equal(status, 1);
    assert.equal(stderr, 'apt: no install\ntests/parts: apt-get cannot install firefox-esr\n');
  });

  test('is asked for in one line where only root could install it', (t) => {
    const m = machine(t, { id: 'echo 1000', 'apt-get': 'exit 0' });
    const { status, stderr } = m.install('chromium');
    assert.equal(status, 1);
    assert.equal(stderr, 'tests/parts: a browser is needed: install the package chromium (Debian: apt-get install chromium)\n');
  });
});
