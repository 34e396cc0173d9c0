// Listeners do in the middle of a frame what they like: leave, close, rename, join again, throw. One test for each input
// that once lost or repeated something.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { world } from './fakes.mjs';

const ROOM = 'lobby';
const text = (n) => ({ text: `${n}` });

/** A world with `queued` publishes that is about to be welcomed, and its listener, which acts once. */
function scene({ queued = 1, on, does }) {
  const w = world();
  const { client } = w;
  client.join(ROOM);
  w.ids = Array.from({ length: queued }, (_, n) => client.publish(ROOM, text(n)));
  let done = false;
  client.on(on, () => {
    if (done) return;
    done = true;
    w.before = { events: w.events.length, sent: w.socket.sent.length };
    ACTS[does](client);
  });
  client.connect();
  w.socket.welcome();
  /** What was sent on the first socket, and told, from the moment on at which the listener acted. */
  w.sentAfter = () => w.sockets[0].sent.slice(w.before.sent).map(({ type }) => type);
  w.toldAfter = () => w.events.slice(w.before.events).map(({ event, kind }) => (kind ? `${event} ${kind}` : event));
  return w;
}

const ACTS = {
  nothing: () => {},
  leave: (client) => client.leave(ROOM),
  close: (client) => client.close(),
  rename: (client) => client.rename('Eve'),
  throw: () => {
    throw new Error('a mistake of the application');
  },
  'leave and join': (client) => {
    client.leave(ROOM);
    client.join(ROOM);
  },
};

const lastOfReplay = (w) => {
  w.socket.joined(ROOM, 5, { replayed: 1 });
  w.socket.message(ROOM, 5);
};

const reset = (w) => {
  w.socket.joined(ROOM, 5, { recovered: false, replayed: 1 });
  w.socket.tell({ type: 'reset', room: ROOM, position: { epoch: '1.a', seq: 5 } });
};

const ownMessage = (w, seq = 6) => w.socket.message(ROOM, seq, { id: w.ids[0], from: 'u1' });
const tooLarge = { welcome: { max_body: 12 } };

/** The first queued publish is too long for the server; the one behind it is not. */
function withTooLarge(does) {
  const w = world();
  w.client.join(ROOM);
  w.ids = [w.client.publish(ROOM, { text: 'x'.repeat(50) }), w.client.publish(ROOM, 1)];
  let done = false;
  w.client.on('failed', () => {
    if (done) return;
    done = true;
    w.before = { events: w.events.length, sent: w.socket.sent.length };
    ACTS[does](w.client);
  });
  w.client.connect();
  w.socket.welcome(tooLarge.welcome);
  w.socket.joined(ROOM, 0);
  w.sentAfter = () => w.sockets[0].sent.slice(w.before.sent).map(({ type }) => type);
  w.toldAfter = () => w.events.slice(w.before.events).map(({ event, kind }) => (kind ? `${event} ${kind}` : event));
  return w;
}

describe('a listener that leaves the room', () => {
  const rows = [
    ['of `joined`, in an empty room', 'joined', (w) => w.socket.joined(ROOM, 0)],
    ['of `live`', 'live', (w) => w.socket.joined(ROOM, 0)],
    ['of the last `message` of the replay', 'message', lastOfReplay],
    ['of `reset`', 'reset', reset],
  ];
  for (const [name, on, frames] of rows) {
    test(`${name}, has its publish neither sent nor told of, and is told nothing more`, () => {
      const w = scene({ on, does: 'leave' });
      frames(w);
      assert.deepEqual(w.sentAfter(), ['leave']);
      assert.deepEqual(w.toldAfter(), []);
      assert.equal(w.client.position(ROOM), null);
    });
  }

  test('of `ack`, with more publishes pending than go out at once, sends none of those that waited', () => {
    const w = scene({ queued: 20, on: 'ack', does: 'leave' });
    w.socket.joined(ROOM, 0);
    assert.equal(w.socket.of('publish').length, 16);
    w.socket.tell({ type: 'ack', room: ROOM, id: w.ids[0], seq: 1 });
    assert.deepEqual(w.sentAfter(), ['leave']);
    assert.deepEqual(w.toldAfter(), []);
  });

  test('of `failed` sends nothing of what waited behind it', () => {
    const w = withTooLarge('leave');
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [['leave'], []]);
  });

  test('of `ack` by its own message has heard the message before, and nothing afterwards', () => {
    const w = scene({ on: 'ack', does: 'leave' });
    w.socket.joined(ROOM, 5);
    ownMessage(w);
    assert.deepEqual(w.seqs(), [6]);
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [['leave'], []]);
  });

  test('and joins it again, at the `ack` of its own message, hears from then on what the new join brings, once', () => {
    const w = scene({ on: 'ack', does: 'leave and join' });
    w.socket.joined(ROOM, 3);
    ownMessage(w, 4);
    w.socket.message(ROOM, 5); // still of the join that was left
    w.socket.joined(ROOM, 5, { replayed: 5 });
    for (const seq of [1, 2, 3]) w.socket.message(ROOM, seq);
    ownMessage(w, 4);
    w.socket.message(ROOM, 5);
    const after = w.events.slice(w.before.events);
    assert.deepEqual(after.filter(({ event }) => event === 'message').map(({ message }) => message.seq), [1, 2, 3, 4, 5]);
    assert.deepEqual(w.told('ack').length, 1);
  });

  test('and joins it again, at `joined`, is told `live` once, after the new `joined`', () => {
    const w = scene({ queued: 0, on: 'joined', does: 'leave and join' });
    w.socket.joined(ROOM, 5);
    assert.deepEqual(w.told('live'), []);
    w.socket.joined(ROOM, 5);
    assert.deepEqual(w.toldAfter(), ['joined', 'live']);
  });

  test('keeps the listeners behind it from hearing of that room', () => {
    const w = scene({ queued: 0, on: 'message', does: 'leave' });
    let heard = 0;
    w.client.on('message', () => (heard += 1));
    w.socket.joined(ROOM, 5);
    w.socket.message(ROOM, 6);
    assert.equal(heard, 0);
  });
});

describe('a listener that closes the client', () => {
  test('of `failed` ends it: nothing more is sent, and what waited is kept', () => {
    const w = withTooLarge('close');
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [[], ['state idle']]);
    assert.deepEqual(w.client.pending(ROOM), [{ id: w.ids[0], state: 'failed' }, { id: w.ids[1], state: 'queued' }]);
    assert.equal(w.clock.size, 0);
  });

  test('of `ack` by its own message is told nothing afterwards', () => {
    const w = scene({ on: 'ack', does: 'close' });
    w.socket.joined(ROOM, 5);
    ownMessage(w);
    assert.deepEqual(w.seqs(), [6]);
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [[], ['state idle']]);
  });

  test('of its own `message` is told the `ack` when it is back, and does not publish again what it has seen', () => {
    const w = scene({ on: 'message', does: 'close' });
    w.socket.joined(ROOM, 5);
    ownMessage(w);
    assert.deepEqual([w.told('ack'), w.client.pending(ROOM)], [[], [{ id: w.ids[0], state: 'sent' }]]);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 6);
    assert.deepEqual(w.told('ack').map(({ id, seq }) => [id, seq]), [[w.ids[0], 6]]);
    assert.deepEqual([w.socket.of('publish'), w.seqs(), w.client.pending(ROOM)], [[], [6], []]);
  });
});

describe('what is told in one moment', () => {
  const own = (w) => w.ids.map((id, n) => ({ type: 'message', room: ROOM, seq: 5 + n, id, from: 'u1', name: 'N', at: 0, body: n }));

  test('a close at the first `ack` of two leaves the second one for the next connection', () => {
    const w = scene({ queued: 2, on: 'ack', does: 'close' });
    w.socket.joined(ROOM, 4);
    w.client.history(ROOM, { before: 7 });
    const [{ ref }] = w.socket.of('history');
    w.socket.tell({ type: 'history', room: ROOM, messages: own(w), more: false, ref });
    assert.deepEqual([w.told('ack').length, w.toldAfter()], [1, ['state idle']]);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 6, { replayed: 2 });
    own(w).forEach((message) => w.socket.tell(message));
    assert.deepEqual(w.told('ack').map(({ id }) => id), w.ids);
    assert.deepEqual(w.socket.of('publish'), []);
  });

  test('a close at the `ack` by the last message of a replay is told no `live` before it is back', () => {
    const w = scene({ on: 'ack', does: 'close' });
    w.socket.joined(ROOM, 5, { replayed: 1 });
    own(w).forEach((message) => w.socket.tell(message));
    assert.deepEqual(w.toldAfter(), ['state idle']);
  });

  test('a discard is told, unless the client is closed first', () => {
    for (const [act, told] of [[ACTS.close, ['state idle']], [() => {}, ['pending']]]) {
      const w = scene({ on: 'live', does: 'nothing' });
      w.client.on('live', () => {
        w.client.discard(ROOM, w.ids[0]);
        act(w.client);
      });
      w.socket.joined(ROOM, 0);
      assert.deepEqual(w.toldAfter(), told);
    }
  });
});

test('a listener of `failed` that renames sends nothing before the new connection is live', () => {
  const w = withTooLarge('rename');
  assert.deepEqual(w.sentAfter(), []);
  assert.deepEqual(w.socket.sent, []);
  w.socket.welcome(tooLarge.welcome);
  assert.deepEqual(w.socket.of('publish'), []);
  w.socket.joined(ROOM, 0);
  assert.deepEqual(w.socket.of('publish').map(({ id }) => id), [w.ids[1]]);
});

describe('a listener that throws', () => {
  test('at the `ack` of its own message has heard that message', () => {
    const w = scene({ on: 'ack', does: 'throw' });
    w.socket.joined(ROOM, 5);
    ownMessage(w);
    assert.deepEqual(w.seqs(), [6]);
    assert.equal(w.errors.length, 1);
  });

  test('at `live` has its publish sent', () => {
    const w = scene({ on: 'live', does: 'throw' });
    w.socket.joined(ROOM, 0);
    assert.deepEqual(w.sentAfter(), ['publish']);
  });

  test('at the last `message` of the replay is told `live`, and its publish is sent, at once', () => {
    const w = scene({ on: 'message', does: 'throw' });
    lastOfReplay(w);
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [['publish'], ['live']]);
  });

  test('at `failed` has what waited behind it sent', () => {
    const w = withTooLarge('throw');
    assert.deepEqual(w.sentAfter(), ['publish']);
  });

  test('at `joined` is told `live`, and its publish is sent', () => {
    const w = scene({ on: 'joined', does: 'throw' });
    w.socket.joined(ROOM, 0);
    assert.deepEqual([w.sentAfter(), w.toldAfter()], [['publish'], ['live']]);
  });

  test('keeps no other listener from hearing the same, and its mistake is reported', () => {
    const w = world();
    const heard = [];
    w.client.on('message', ACTS.throw);
    w.client.on('message', ({ message }) => heard.push(message.seq));
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 5);
    w.socket.message(ROOM, 6);
    assert.deepEqual(heard, [6]);
    assert.match(w.errors[0].message, /a mistake of the application/);
  });

  test('at `state` stops no reconnect', () => {
    const w = world();
    w.client.on('state', ACTS.throw);
    w.client.connect();
    w.socket.end(1006);
    w.clock.advance(250);
    assert.equal(w.sockets.length, 2);
  });
});

test('a frame that comes while an event is told waits for its end, and is dropped with its connection', () => {
  const w = world();
  const heard = [];
  w.client.on('message', ({ message }) => {
    if (message.seq === 6) w.socket.message(ROOM, 7);
    if (message.seq === 8) {
      w.socket.message(ROOM, 9);
      w.client.rename('Eve');
    }
  });
  w.client.on('message', ({ message }) => heard.push(message.seq));
  w.client.join(ROOM);
  w.client.connect();
  w.socket.welcome();
  w.socket.joined(ROOM, 5);
  w.socket.message(ROOM, 6);
  w.socket.message(ROOM, 8);
  assert.deepEqual(heard, [6, 7, 8]);
  w.socket.welcome();
  assert.deepEqual(w.socket.of('join')[0].after.seq, 8, 'what was dropped is asked for again');
});

test('a mistake of a listener goes to `reportError` of the platform, or else to the console', () => {
  const [given, consoled] = [[], []];
  const { error } = console;
  const raise = (client) => client.on('state', ACTS.throw).connect();
  try {
    globalThis.reportError = (mistake) => given.push(mistake);
    raise(world({ reportError: undefined }).client);
    delete globalThis.reportError;
    console.error = (mistake) => consoled.push(mistake);
    raise(world({ reportError: undefined }).client);
  } finally {
    console.error = error;
  }
  assert.deepEqual([given.length, consoled.length], [1, 1]);
});
