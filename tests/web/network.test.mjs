// What the browser says of the network, and what a probe finds out: neither is trusted further than it goes.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { liveWorld, world } from './fakes.mjs';

const ROOM = 'lobby';
/** Lets promises that have an answer hand it on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A probe whose answers the test gives. */
function probed() {
  const waiting = [];
  const probe = () => new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  return {
    probe, waiting,
    async answer(value) {
      await settled(); // the probe is begun in a turn of its own
      const one = waiting.shift();
      if (value instanceof Error) one.reject(value);
      else one.resolve(value);
      await settled();
    },
  };
}

describe('the browser says that it is offline', () => {
  test('and that is shown at once, while a ping finds out whether it is true', () => {
    const w = liveWorld();
    w.client.network(false);
    assert.equal(w.client.state.kind, 'offline');
    assert.equal(w.socket.of('ping').length, 1);
    w.client.network(false);
    assert.equal(w.socket.of('ping').length, 1);
    assert.equal(w.told('state').filter(({ kind }) => kind === 'offline').length, 1);
  });

  test('and is wrong: what comes on the connection proves that, and nothing was lost', () => {
    const w = liveWorld(10);
    w.client.network(false);
    w.socket.message(ROOM, 11);
    assert.equal(w.client.state.kind, 'live');
    assert.deepEqual(w.seqs(), [11]);
    assert.deepEqual(w.events.slice(-2).map(({ event }) => event), ['state', 'message']);
    assert.equal(w.sockets.length, 1);
  });

  test('and is right: without a pong the connection is given up, and what follows is still shown as offline', () => {
    const w = liveWorld();
    w.client.network(false);
    w.clock.advance(5_000);
    assert.deepEqual([w.sockets.length, w.client.state.kind], [2, 'offline']);
    w.socket.end(1006);
    assert.equal(w.client.state.kind, 'offline');
    w.clock.advance(500);
    assert.deepEqual([w.sockets.length, w.client.state.kind], [3, 'offline']);
    w.socket.welcome();
    assert.equal(w.client.state.kind, 'live', 'the browser was wrong after all');
  });

  test('and says later that it is online: only the word of the node makes it live', () => {
    const w = liveWorld();
    w.client.network(false);
    w.client.network(true);
    assert.equal(w.client.state.kind, 'offline');
    w.socket.tell({ type: 'pong' });
    assert.equal(w.client.state.kind, 'live');
    assert.equal(w.sockets.length, 1);
  });

  test('while the client waits: being online again ends the wait', () => {
    const w = liveWorld();
    w.socket.end(1006);
    w.client.network(false);
    assert.equal(w.client.state.kind, 'offline');
    w.client.network(true);
    assert.deepEqual([w.sockets.length, w.client.state.kind], [2, 'connecting']);
  });

  test('while a client waits that sent too much: what is told is the rest of the delay', () => {
    const w = liveWorld();
    w.socket.end(4029, 'too much');
    const { delay } = w.client.state;
    w.clock.advance(10_000);
    w.client.network(false);
    assert.deepEqual([w.client.state.kind, w.client.state.delay], ['offline', delay - 10_000]);
    w.clock.advance(2_000);
    w.client.network(true);
    assert.deepEqual([w.client.state.kind, w.client.state.delay], ['waiting', delay - 12_000]);
    w.clock.advance(delay - 12_001);
    assert.equal(w.sockets.length, 1);
    w.clock.advance(1);
    assert.equal(w.sockets.length, 2);
  });

  test('of a client that is closed or not started is no state', () => {
    const w = world();
    w.client.network(false);
    assert.deepEqual(w.client.state, { kind: 'idle' });
    const closed = liveWorld();
    closed.socket.end(4003, 'no');
    closed.client.network(false);
    closed.client.network(true);
    assert.equal(closed.client.state.kind, 'closed');
    assert.equal(closed.sockets.length, 1);
  });
});

describe('with a probe', () => {
  test('the first attempts are made at once, and after a failed one the node is asked before the next', async () => {
    const p = probed();
    const w = world({ probe: p.probe });
    w.client.connect();
    w.socket.end(1006);
    w.clock.advance(125);
    await settled();
    assert.deepEqual([w.sockets.length, p.waiting.length, w.client.state.kind], [1, 1, 'connecting']);
    await p.answer(false);
    assert.deepEqual([w.sockets.length, w.client.state.kind, w.client.state.reason], [1, 'waiting', 'the node does not answer']);
    w.clock.advance(250);
    await p.answer(new TypeError('Failed to fetch'));
    assert.equal(w.client.state.kind, 'waiting');
    w.clock.advance(500);
    await p.answer(true);
    assert.deepEqual(w.client.state, { kind: 'connecting', answers: true });
    assert.equal(w.sockets.length, 2);
    w.socket.welcome();
    w.socket.end(1012);
    w.clock.advance(15_000);
    assert.equal(w.sockets.length, 3, 'what was welcomed did not fail');
  });

  test('an outage of an hour makes no failed attempts, which browsers hold against the next one', async () => {
    const p = probed();
    const w = liveWorld(10, { probe: p.probe, random: Math.random });
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.end(1006);
    let probes = 0;
    for (let second = 0; second < 3_600; second += 1) {
      w.clock.advance(1_000);
      await settled();
      if (p.waiting.length > 0) {
        probes += 1;
        await p.answer(false);
        assert.ok(w.client.state.delay <= 8_000);
      }
    }
    assert.equal(w.sockets.length, 2);
    assert.ok(probes > 450, `${probes}`);
    for (let second = 0; second < 8 && p.waiting.length === 0; second += 1) {
      w.clock.advance(1_000);
      await settled();
    }
    await p.answer(true);
    w.socket.welcome();
    assert.equal(w.client.state.kind, 'live');
  });

  test('one that is not answered in five seconds counts as no, and its late answer means nothing', async () => {
    const p = probed();
    const w = world({ probe: p.probe });
    w.client.connect();
    w.socket.end(1006);
    w.clock.advance(125);
    await settled();
    w.clock.advance(5_000);
    assert.equal(w.client.state.kind, 'waiting');
    await p.answer(true);
    assert.equal(w.sockets.length, 1);
    w.clock.advance(250);
    await settled();
    w.client.connect();
    await settled();
    assert.equal(p.waiting.length, 1, 'one at a time');
    w.client.close();
    await p.answer(true);
    assert.deepEqual([w.sockets.length, w.client.state.kind, w.clock.size], [1, 'idle', 0]);
  });

  test('a browser that says it is offline is asked the node first', async () => {
    const p = probed();
    const w = liveWorld(10, { probe: p.probe });
    w.client.network(false);
    w.clock.advance(5_000);
    await settled();
    assert.deepEqual([w.sockets.length, p.waiting.length, w.client.state.kind], [1, 1, 'offline']);
    await p.answer(true);
    w.socket.welcome();
    assert.equal(w.client.state.kind, 'live');
  });
});
