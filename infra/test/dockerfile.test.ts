import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LINK_PORT, NODE_PORT } from '../lib/service/ports.ts';

const REPOSITORY = new URL('../../', import.meta.url);
const read = (name: string) => readFileSync(new URL(name, REPOSITORY), 'utf8');
const dockerfile = read('Dockerfile');
const ignore = read('.dockerignore').split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** What is copied out of the repository, in each stage. */
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) => match[1]!.split(' '));

test('what the image is made of exists and is sent to the builder', () => {
  assert.ok(copied.length >= 12);
  for (const path of copied) {
    assert.ok(existsSync(new URL(path, REPOSITORY)), path);
    assert.ok(ignore.includes(`!${path}`), `.dockerignore leaves out ${path}`);
  }
});

test('nothing else is sent, so that nothing else makes a new image', () => {
  assert.equal(ignore[0], '*');
  const sent = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  assert.deepEqual(sent.toSorted(), [...new Set(copied)].toSorted());
});

test("all members of the workspace are there, and what the server's sources include", () => {
  const members = [...read('Cargo.toml').split('members = [')[1]!.split(']')[0]!.matchAll(/"([^"]+)"/g)];
  for (const [, member] of members) {
    assert.ok(copied.includes(member!.split('/')[0]!), member);
  }
  assert.ok(read('ws-server/src/page.rs').includes('"../../web/"'));
  assert.ok(copied.includes('web'));
});

test('the image is nobody, as the task is, and checks itself', () => {
  assert.match(dockerfile, /^USER 65532:65532$/m);
  assert.match(dockerfile, /^HEALTHCHECK .*"health-check"\]$/m);
  assert.ok(read('ws-server/src/program.rs').includes('"health-check"'));
  assert.match(dockerfile, new RegExp(`^EXPOSE ${NODE_PORT} ${LINK_PORT}$`, 'm'));
});

test('it is built with the version of Rust that the workspace asks for, and with the toolchain that the image brings', () => {
  const version = /^rust-version = "([\d.]+)"/m.exec(read('Cargo.toml'))![1]!;
  assert.ok(dockerfile.includes(`FROM --platform=$BUILDPLATFORM rust:${version}-`));
  // A name such as 1.95 is another toolchain for rustup than the image's 1.95.0, and would be fetched.
  assert.doesNotMatch(dockerfile, /RUSTUP_TOOLCHAIN|rust-toolchain/);
});
