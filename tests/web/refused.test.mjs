// Publishes in a room that the server does not let this client enter.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { liveWorld, world } from './fakes.mjs';

const ROOM = 'lobby';

describe('publishes in a room whose join is refused for good', () => {
  const refuse = (w, code = 'forbidden', retry = false) => {
    const { ref } = w.socket.of('join').at(-1);
    w.socket.tell({ type: 'error', code, message: 'not you', retry, room: ROOM, ref });
  };
  const failed = (w) => w.told('failed').map(({ id, code, message }) => [id, code, message]);

  /** With two publishes that waited for the join. */
  function refused() {
    const w = world();
    w.client.join(ROOM);
    w.ids = [1, 2].map((body) => w.client.publish(ROOM, body));
    w.client.connect();
    w.socket.welcome();
    refuse(w);
    return w;
  }

  test('those that waited fail with its code, after it', () => {
    const w = refused();
    assert.deepEqual(failed(w), w.ids.map((id) => [id, 'forbidden', 'not you']));
    assert.deepEqual(w.events.slice(-3).map(({ event }) => event), ['refused', 'failed', 'failed']);
    assert.deepEqual(w.client.pending(ROOM).map(({ state }) => state), ['failed', 'failed']);
    assert.deepEqual(w.socket.of('publish'), []);
  });

  test('a later one fails, when the caller has its id', async () => {
    const w = refused();
    const id = w.client.publish(ROOM, 3);
    assert.equal(w.told('failed').length, 2);
    await Promise.resolve();
    assert.deepEqual(failed(w).at(-1), [id, 'forbidden', 'not you']);
  });

  test('a retry asks for the room again: it is sent, or fails again', () => {
    const w = refused();
    w.client.retry(ROOM, w.ids[0]);
    assert.equal(w.socket.of('join').length, 2);
    refuse(w, 'too_many_rooms');
    assert.deepEqual(failed(w).slice(2), [[w.ids[0], 'too_many_rooms', 'not you']]);
    w.client.retry(ROOM, w.ids[1]);
    w.socket.joined(ROOM, 0);
    assert.deepEqual(w.socket.of('publish').map(({ id }) => id), [w.ids[1]]);
  });

  test('the next connection asks again, and what is said before its answer waits', async () => {
    const w = refused();
    w.socket.end(1006);
    const id = w.client.publish(ROOM, 3);
    await Promise.resolve();
    w.clock.advance(250);
    w.socket.welcome();
    assert.equal(w.told('failed').length, 2);
    w.socket.joined(ROOM, 0);
    assert.deepEqual(w.socket.of('publish').map(({ id: sent }) => sent), [id]);
  });

  test('which is not for good, it waits', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.publish(ROOM, 1);
    w.client.connect();
    w.socket.welcome();
    refuse(w, 'unavailable', true);
    assert.deepEqual([failed(w), w.client.pending(ROOM).map(({ state }) => state)], [[], ['queued']]);
  });

  test('after it was joined: what finds no membership fails when its turn comes, and what is in the log is acknowledged', () => {
    const w = liveWorld(10);
    const [seen, lost] = [1, 2].map((body) => w.client.publish(ROOM, body));
    w.socket.tell({ type: 'error', code: 'not_joined', message: 'no', retry: false, room: ROOM, id: lost });
    refuse(w);
    assert.deepEqual(failed(w), [[lost, 'forbidden', 'not you']]);
    w.socket.tell({ type: 'ack', room: ROOM, id: seen, seq: 11 });
    assert.deepEqual(w.told('ack').map(({ id }) => id), [seen]);
    w.clock.advance(60_000);
    assert.deepEqual(w.client.pending(ROOM), [{ id: lost, state: 'failed' }]);
  });
});
