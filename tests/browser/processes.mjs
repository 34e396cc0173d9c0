// The programs that the browser tests run against, and a wire that can be cut: all on loopback, all ended by their ids.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Cargo's folder for what it builds. */
export const TARGET = process.env.ROOMCAST_TARGET ?? new URL('../../target', import.meta.url).pathname;
const PATIENCE_MS = 60_000;
/** How long a program may take to end after a signal, in milliseconds. */
const FAREWELL_MS = 15_000;
const running = new Set();
const folders = new Set();
// Whatever ends the tests ends what they have started, and takes away what they have written.
process.on('exit', () => {
  running.forEach((child) => child.kill('SIGKILL'));
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Tries until `check` gives something; its last error otherwise. */
export async function until(what, check, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (let last; ; await sleep(25)) {
    try {
      const found = await check();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${patience} ms${last ? ` (${last.message})` : ''}`);
  }
}

/** Waits for all of these promises, also when one fails, so that what has started can be ended; then throws what failed. */
export async function allStarted(starting) {
  const failed = (await Promise.allSettled(starting)).filter(({ status }) => status === 'rejected');
  if (failed.length > 0) throw failed[0].reason;
}

/** Ends one thing after the other, all of them; then throws what failed. */
export async function allEnded(endings) {
  const mistakes = [];
  for (const end of endings) {
    try {
      await end();
    } catch (mistake) {
      mistakes.push(mistake);
    }
  }
  if (mistakes.length > 0) throw mistakes[0];
}

/** A new folder below the system's for temporary files, which goes when the tests end. */
export function temporaryFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `roomcast-${name}-`));
  folders.add(folder);
  return folder;
}

const isFree = (port) => new Promise((resolve) => {
  const server = net.createServer();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
});

/** So many free ports in a row, below those that the system gives to clients. */
async function freePorts(count) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all(Array.from({ length: count }, (_, n) => isFree(first + n)));
    if (free.every(Boolean)) return first;
  }
  throw new Error('no free ports');
}

function start(program, args, env = {}) {
  const child = spawn(join(TARGET, 'debug', program), args, {
    env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (child.said += data));
  running.add(child);
  child.ended = new Promise((resolve) => {
    const over = () => {
      running.delete(child);
      resolve();
    };
    child.once('exit', over);
    child.once('error', (error) => {
      child.said += error.message;
      over();
    });
  });
  return child;
}

/** Ends a program with a signal, waits until it is gone, and fails when that takes too long: then it is killed. */
async function end(child, signal) {
  if (!running.has(child)) return;
  child.kill(signal);
  const late = new AbortController();
  const patience = sleep(FAREWELL_MS, true, { signal: late.signal }).catch(() => false);
  const isLate = await Promise.race([child.ended, patience]);
  late.abort();
  if (!isLate) return;
  child.kill('SIGKILL');
  throw new Error(`${child.spawnfile} did not end within ${FAREWELL_MS} ms of ${signal}`);
}

/** A local stack of two nodes, in memory. */
export async function startStack() {
  const port = await freePorts(2);
  const data = temporaryFolder('browser');
  const unlimited = ['--', '--publishes-per-second', '0', '--signals-per-second', '0'];
  const args = ['--memory', '--nodes', '2', '--port', `${port}`, '--data', data, ...unlimited];
  const child = start('roomcast-local', args);
  await until('the local stack', () => child.said.includes('ready ') || !running.has(child));
  if (!running.has(child)) throw new Error(`the local stack has ended: ${child.said}`);
  const announced = JSON.parse(readFileSync(join(data, 'stack.json'), 'utf8'));
  const nodes = announced.nodes.map(({ url }) => url);
  return {
    announced, nodes,
    stop: () => end(child, 'SIGTERM'),
  };
}

/** A third node of the stack, as a program of its own, so that it can be killed and started again at its port. */
export async function nodeOf({ announced, nodes }) {
  const port = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const env = {
    AWS_ENDPOINT_URL_DYNAMODB: announced.dynamodb, AWS_ENDPOINT_URL_SNS: announced.sns, AWS_REGION: announced.region,
    AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', ROOMCAST_CLUSTER_KEY: announced.cluster_key,
  };
  const args = [
    '--listen', `127.0.0.1:${port}`, '--sns-endpoint', url, '--topic-arn', announced.topic_arn,
    '--sns-cert-origin', announced.cert_origin, '--sns-trust-root', announced.trust_root,
    '--messages-table', announced.messages_table, '--nodes-table', announced.nodes_table,
    '--link-listen', '127.0.0.1:0', '--drain-ms', '1500', '--log', 'warn',
    ...nodes.flatMap((other, n) => ['--page-link', `Node ${n + 1}=${other}`]),
  ];
  let child = null;
  return {
    url,
    async start() {
      child = start('ws-server', args, env);
      await until('the third node', async () => !running.has(child) || (await fetch(`${url}/readyz`)).ok);
      if (!running.has(child)) throw new Error(`the third node has ended: ${child.said}`);
    },
    kill: () => end(child, 'SIGKILL'),
    /** Asks the node to end, which it does when its sessions have been told to go. */
    drain: () => end(child, 'SIGTERM'),
  };
}

/** A wire to a node that can be cut: what is on it vanishes (`hold`), or its ends hear of it (`cut`). */
export async function wireTo(url) {
  const target = Number(new URL(url).port);
  const pairs = new Set();
  let [held, server] = [false, null];
  const port = await freePorts(1);
  const serve = () => new Promise((resolve) => {
    server = net.createServer((near) => {
      const far = net.connect(target, '127.0.0.1');
      const pair = [near, far];
      pairs.add(pair);
      near.on('data', (data) => held || far.write(data));
      far.on('data', (data) => held || near.write(data));
      for (const socket of pair) {
        socket.on('error', () => {});
        socket.on('close', () => {
          pairs.delete(pair);
          if (!held) pair.forEach((one) => one.destroy());
        });
      }
    }).listen(port, '127.0.0.1', resolve);
  });
  const drop = () => [...pairs].forEach((pair) => pair.forEach((socket) => socket.destroy()));
  await serve();
  return {
    url: `http://127.0.0.1:${port}`,
    /** Connections are reset, and new ones refused. */
    async cut() {
      const closed = new Promise((resolve) => server.close(resolve));
      drop();
      await closed;
      server = null;
    },
    /** Nothing arrives any more, in either direction; connections stay. */
    hold: () => (held = true),
    async mend() {
      if (held) drop();
      held = false;
      if (!server) await serve();
    },
    async close() {
      const closed = server?.listening ? new Promise((resolve) => server.close(resolve)) : null;
      drop();
      await closed;
    },
  };
}
