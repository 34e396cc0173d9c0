import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { afterClose, backoffDelay, guestSecret, randomId, ROOM_NAME, socketUrl } from '../../web/roomcast.js';
import { liveWorld, world } from './fakes.mjs';

const ROOM = 'lobby';
const at = (seq, epoch = '1.a') => ({ epoch, seq });

describe('connecting', () => {
  test('the address carries the guest secret and the name, and the subprotocol is offered', () => {
    const w = world({ name: 'Ada & Bob 🦀' });
    w.client.connect();
    const url = new URL(w.socket.url);
    assert.equal(url.searchParams.get('guest'), 'secret');
    assert.equal(url.searchParams.get('name'), 'Ada & Bob 🦀');
    assert.deepEqual(w.socket.protocols, ['roomcast.v1']);
  });

  test('what was not given is not sent: a client without a secret has one of its own, for as long as it lives', () => {
    const urls = [1, 2].map(() => {
      const w = world({ guest: undefined, name: undefined });
      w.client.connect();
      w.socket.end(1006);
      w.clock.advance(250);
      assert.equal(w.sockets.length, 2);
      assert.equal(w.sockets[0].url, w.sockets[1].url, 'the same user comes back');
      return new URL(w.socket.url);
    });
    for (const url of urls) {
      assert.equal(url.searchParams.has('name'), false);
      assert.match(url.searchParams.get('guest'), /^[0-9a-f]{32}$/);
    }
    assert.notEqual(urls[0].href, urls[1].href);
    const none = world({ guest: null, name: null });
    none.client.connect();
    assert.doesNotMatch(none.socket.url, /null|undefined/);
  });

  test('an address that has a query keeps it, and one that says who the user is gets no secret', () => {
    const asked = (options) => {
      const w = world({ guest: undefined, name: undefined, ...options });
      w.client.connect();
      return w.socket.url;
    };
    assert.equal(asked({ url: 'ws://host/ws?token=t' }), 'ws://host/ws?token=t');
    assert.equal(asked({ url: 'ws://host/ws?guest=g', name: 'Ada' }), 'ws://host/ws?guest=g&name=Ada');
    assert.equal(asked({ url: 'ws://host/ws?x=1', guest: 'g' }), 'ws://host/ws?x=1&guest=g');
  });

  test('an address may be a URL object', () => {
    const w = world({ url: new URL('ws://host/ws?x=1'), name: undefined });
    w.client.connect();
    assert.equal(w.socket.url, 'ws://host/ws?x=1&guest=secret');
  });

  test('a name that was refused is changed by another one, which connects', () => {
    const w = world();
    w.client.connect();
    w.socket.end(4001, 'the name is taken');
    w.client.rename('Eve');
    assert.deepEqual([w.sockets.length, w.client.state.kind], [2, 'connecting']);
    assert.match(w.socket.url, /name=Eve$/);
    w.client.close();
    w.client.rename('Ada');
    assert.deepEqual([w.sockets.length, w.client.state.kind], [2, 'idle'], 'but not after a close');
  });

  test('an address that no socket can be made of ends it with the reason, and the mistake is reported', () => {
    const w = world({ WebSocket: class { constructor() { throw new SyntaxError('no such scheme'); } } });
    w.client.connect();
    assert.deepEqual(w.client.state, { kind: 'closed', code: 1006, reason: 'no such scheme' });
    assert.equal(w.errors[0].message, 'no such scheme');
    assert.equal(w.clock.size, 0);
  });

  test('the first join asks for history, and welcome tells user, node and limit', () => {
    const w = world();
    w.client.join(ROOM, { history: 50 });
    w.client.connect();
    w.socket.welcome({ node: 'abc', max_body: 99 });
    assert.deepEqual(w.socket.sent, [{ type: 'join', room: ROOM, history: 50, ref: 1 }]);
    assert.deepEqual([w.client.user, w.client.node, w.client.maxBody], ['u1', 'abc', 99]);
    assert.equal(w.client.state.kind, 'live');
  });

  test('a handshake that gets no welcome in ten seconds is given up', () => {
    const w = world();
    w.client.connect();
    w.clock.advance(9_999);
    assert.equal(w.client.state.kind, 'connecting');
    w.clock.advance(1);
    assert.equal(w.client.state.kind, 'waiting');
    w.clock.advance(125);
    assert.equal(w.sockets.length, 2);
  });

  test('a new name takes a new connection, which resumes', () => {
    const w = liveWorld(10);
    w.client.rename('Eve');
    assert.equal(w.sockets[0].closedWith, 1000);
    assert.equal(new URL(w.socket.url).searchParams.get('name'), 'Eve');
    w.socket.welcome();
    assert.deepEqual(w.socket.of('join')[0].after, at(10));
  });

  test('close ends everything, timers too', () => {
    const w = liveWorld();
    w.client.close();
    assert.equal(w.socket.closedWith, 1000);
    assert.equal(w.clock.size, 0);
    assert.equal(w.client.state.kind, 'idle');
  });
});

describe('the position', () => {
  test('is the one joined names when nothing is replayed', () => {
    assert.deepEqual(liveWorld(10).client.position(ROOM), at(10));
  });

  test('is not the one joined names while a replay follows', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 10, { replayed: 3 });
    assert.equal(w.client.position(ROOM), null);
    w.socket.message(ROOM, 8);
    assert.deepEqual(w.client.position(ROOM), at(8));
    assert.equal(w.told('live').length, 0);
    w.socket.message(ROOM, 9);
    w.socket.message(ROOM, 10);
    assert.deepEqual(w.client.position(ROOM), at(10));
    assert.equal(w.told('live').length, 1);
  });

  test('is never moved by an ack', () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, { text: 'hi' });
    w.socket.tell({ type: 'ack', room: ROOM, id, seq: 12 });
    assert.deepEqual(w.client.position(ROOM), at(10));
    w.socket.message(ROOM, 11);
    w.socket.message(ROOM, 12, { id, from: 'u1' });
    assert.deepEqual(w.seqs(), [11, 12], 'the own message comes too, in its order');
  });

  test('is moved by reset, to the new epoch', () => {
    const w = liveWorld(10);
    w.socket.tell({ type: 'reset', room: ROOM, position: at(4, '2.b') });
    assert.deepEqual(w.client.position(ROOM), at(4, '2.b'));
    w.socket.message(ROOM, 5);
    assert.deepEqual(w.client.position(ROOM), at(5, '2.b'));
    assert.deepEqual(w.seqs(), [5]);
  });

  test('of a room nobody has written to is the empty epoch, until the reset before its first message', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 0, { epoch: '' });
    assert.deepEqual(w.client.position(ROOM), at(0, ''));
    w.socket.tell({ type: 'reset', room: ROOM, position: at(0) });
    w.socket.message(ROOM, 1);
    assert.deepEqual(w.client.position(ROOM), at(1));
  });

  test('a repeat is dropped', () => {
    const w = liveWorld(10);
    for (const seq of [11, 11, 9, 12]) w.socket.message(ROOM, seq);
    assert.deepEqual(w.seqs(), [11, 12]);
  });

  test('a number left out ends the connection, and the next one resumes before it', () => {
    const w = liveWorld(10);
    w.socket.message(ROOM, 11);
    w.socket.message(ROOM, 13);
    assert.deepEqual(w.seqs(), [11]);
    assert.equal(w.client.state.kind, 'waiting');
    w.clock.advance(w.client.state.delay);
    w.socket.welcome();
    assert.deepEqual(w.socket.of('join')[0].after, at(11));
  });

  test('a reset in the midst of a replay skips what cannot be read, and the replay goes on', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 10, { replayed: 3 });
    w.socket.message(ROOM, 5);
    w.socket.tell({ type: 'reset', room: ROOM, position: at(8) });
    assert.equal(w.told('live').length, 0);
    w.socket.message(ROOM, 9);
    w.socket.message(ROOM, 10);
    assert.deepEqual(w.seqs(), [5, 9, 10]);
    assert.equal(w.told('live').length, 1);
  });
});

describe('resuming', () => {
  test('names the last position seen, and goes on where it was', () => {
    const w = liveWorld(10);
    w.socket.message(ROOM, 11);
    w.socket.end(1012);
    w.clock.advance(250);
    w.socket.welcome({ node: 'n2' });
    assert.deepEqual(w.socket.of('join'), [{ type: 'join', room: ROOM, after: at(11), ref: 2 }]);
    w.socket.joined(ROOM, 13, { replayed: 2 });
    assert.deepEqual(w.client.position(ROOM), at(11));
    w.socket.message(ROOM, 12);
    w.socket.message(ROOM, 13);
    w.socket.message(ROOM, 14);
    assert.deepEqual(w.seqs(), [11, 12, 13, 14]);
    assert.equal(w.client.node, 'n2');
  });

  test('a replay that breaks off is resumed from its last message', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 10, { replayed: 5 });
    w.socket.message(ROOM, 6);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    assert.deepEqual(w.socket.of('join')[0].after, at(6));
  });

  test('a replay that does not begin right after the position is not believed', () => {
    const w = liveWorld(10);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 13, { replayed: 3 });
    w.socket.message(ROOM, 10);
    w.socket.message(ROOM, 12);
    assert.deepEqual(w.seqs(), [], 'neither the repeat nor what follows a hole');
    assert.deepEqual(w.client.position(ROOM), at(10));
    assert.equal(w.client.state.kind, 'waiting');
  });

  test('before anything was seen, history is asked for again', () => {
    const w = world();
    w.client.join(ROOM, { history: 7 });
    w.client.connect();
    w.socket.welcome();
    w.socket.joined(ROOM, 10, { replayed: 5 });
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    assert.equal(w.socket.of('join')[0].history, 7);
  });

  test('a position that cannot be resumed is reset, and the session goes on from there', () => {
    const w = liveWorld(10);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 500, { epoch: '2.b', recovered: false });
    w.socket.tell({ type: 'reset', room: ROOM, position: at(500, '2.b') });
    w.socket.message(ROOM, 501);
    assert.deepEqual(w.told('reset').map((one) => one.position), [at(500, '2.b')]);
    assert.deepEqual(w.seqs(), [501]);
  });

  test('until that reset has come the old position stays, and nothing is sent or told as live', () => {
    const w = liveWorld(10);
    w.client.publish(ROOM, 1);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 500, { recovered: false });
    assert.deepEqual(w.client.position(ROOM), at(10));
    assert.deepEqual([w.told('live').length, w.socket.of('publish').length], [1, 0]);
    w.socket.end(1006);
    w.clock.advance(500);
    w.socket.welcome();
    assert.deepEqual(w.socket.of('join')[0].after, at(10), 'else the gap would never be told');
    w.socket.joined(ROOM, 500, { recovered: false });
    w.socket.tell({ type: 'reset', room: ROOM, position: at(500) });
    assert.deepEqual([w.told('live').length, w.socket.of('publish').length], [2, 1]);
  });

  test('a log that is behind the position is waited for, too: its reset comes before anything is live', () => {
    const w = liveWorld(10);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 5, { recovered: false });
    assert.equal(w.told('live').length, 1);
    w.socket.tell({ type: 'reset', room: ROOM, position: at(5) });
    assert.equal(w.told('live').length, 2);
    w.socket.message(ROOM, 6);
    assert.deepEqual(w.seqs(), [6]);
  });

  test('a join can name the position that another client has kept', () => {
    const w = world();
    w.client.join(ROOM, { after: { ...at(7), more: 'ignored' } });
    assert.deepEqual(w.client.position(ROOM), at(7));
    w.client.connect();
    w.socket.welcome();
    assert.deepEqual(w.socket.sent, [{ type: 'join', room: ROOM, after: at(7), ref: 1 }]);
    w.socket.joined(ROOM, 9, { replayed: 2 });
    for (const seq of [7, 8, 9]) w.socket.message(ROOM, seq);
    assert.deepEqual(w.seqs(), [8, 9]);
    assert.equal(w.told('live').length, 1);
  });

  test('frames of an answer to an older join are not believed', () => {
    const w = liveWorld(10);
    w.client.leave(ROOM);
    w.client.join(ROOM);
    w.socket.message(ROOM, 11);
    w.socket.tell({ type: 'joined', room: ROOM, position: at(11), recovered: true, replayed: 0, ref: 1 });
    assert.equal(w.client.position(ROOM), null);
    w.socket.joined(ROOM, 11);
    assert.deepEqual(w.client.position(ROOM), at(11));
    assert.deepEqual(w.seqs(), []);
  });

  test('a room is left with a frame only when it had been entered', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.leave(ROOM);
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.tell({ type: 'error', code: 'forbidden', message: 'no', retry: false, ref: 1 });
    w.client.leave(ROOM);
    w.client.join('other');
    w.socket.joined('other', 3);
    w.client.leave('other');
    assert.deepEqual(w.socket.sent.map(({ type, room }) => [type, room]), [
      ['join', ROOM], ['join', 'other'], ['leave', 'other'],
    ]);
    w.socket.message('other', 4);
    assert.deepEqual(w.seqs(), [], 'what was still on its way is dropped');
  });

  test('errors of a join that a leave or a later join has overtaken are no news', () => {
    const w = liveWorld(10);
    w.client.join('other');
    w.client.leave('other');
    w.client.join('other');
    const [first, second] = w.socket.of('join').filter(({ room }) => room === 'other').map(({ ref }) => ref);
    const error = (ref, code, retry = false) => w.socket.tell({ type: 'error', code, message: '', retry, room: 'other', ref });
    error(first, 'superseded');
    error(first, 'forbidden');
    assert.deepEqual([w.told('error'), w.told('refused')], [[], []]);
    w.socket.joined('other', 3);
    assert.deepEqual(w.told('live').map(({ room }) => room), [ROOM, 'other']);
    error(second, 'superseded');
    w.socket.tell({ type: 'error', code: 'superseded', message: '', retry: false, ref: 'of a leave' });
    assert.deepEqual([w.told('error'), w.told('refused')], [[], []]);
  });

  test('`superseded` is final for its join: nothing waits for an answer to it any more', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.tell({ type: 'error', code: 'superseded', message: 'overtaken', retry: false, room: ROOM, ref: 1 });
    assert.deepEqual(w.told('refused').map(({ code }) => code), ['superseded']);
    w.socket.joined(ROOM, 5);
    assert.deepEqual(w.told('joined'), []);
  });

  test('errors of a room that was left are no news', () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, 1);
    w.client.leave(ROOM);
    for (const more of [{ id }, {}, { ref: 1 }]) {
      w.socket.tell({ type: 'error', code: 'not_joined', message: 'no', retry: false, room: ROOM, ...more });
    }
    assert.deepEqual([w.told('error'), w.told('failed')], [[], []]);
  });

  test('errors of publishes that nothing waits for any more are no news', () => {
    const w = liveWorld(10);
    const [given, acked] = ['given up', 'acknowledged'].map((text) => w.client.publish(ROOM, text));
    w.client.discard(ROOM, given);
    w.socket.tell({ type: 'ack', room: ROOM, id: acked, seq: 11 });
    for (const id of [given, acked, 'of another life']) {
      w.socket.tell({ type: 'error', code: 'id_conflict', message: 'used', retry: false, room: ROOM, id, seq: 3 });
      w.socket.tell({ type: 'error', code: 'unavailable', message: 'later', retry: true, room: ROOM, id });
    }
    assert.deepEqual([w.told('error'), w.told('failed')], [[], []]);
    w.socket.tell({ type: 'error', code: 'rate_limited', message: 'signals', retry: true, room: ROOM });
    assert.deepEqual(w.told('error').map(({ code }) => code), ['rate_limited'], 'without an id it is of no publish');
  });

  test('a refused join is told; one to be tried later is tried again', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.connect();
    w.socket.welcome();
    w.socket.tell({ type: 'error', code: 'overloaded', message: 'later', retry: true, ref: 1 });
    w.clock.advance(250);
    assert.deepEqual(w.socket.of('join').map((frame) => frame.ref), [1, 2]);
    w.socket.tell({ type: 'error', code: 'forbidden', message: 'no', retry: false, ref: 2 });
    w.clock.advance(20_000);
    assert.equal(w.told('refused')[0].code, 'forbidden');
    assert.equal(w.socket.of('join').length, 2);
  });
});

describe('publishing', () => {
  test('what is said while offline waits, and is sent once live', () => {
    const w = world();
    w.client.join(ROOM);
    const ids = [w.client.publish(ROOM, { text: 'a' }), w.client.publish(ROOM, { text: 'b' })];
    w.client.connect();
    w.socket.welcome();
    assert.equal(w.socket.of('publish').length, 0);
    w.socket.joined(ROOM, 0, { epoch: '' });
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), ids);
  });

  test('unacknowledged publishes are sent again only after joined and its replay, same id, same body, in order', () => {
    const w = liveWorld(10);
    const ids = ['a', 'b', 'c'].map((text) => w.client.publish(ROOM, { text }));
    const first = w.socket.of('publish');
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    assert.equal(w.socket.of('publish').length, 0, 'not before joined');
    w.socket.joined(ROOM, 12, { replayed: 2 });
    w.socket.message(ROOM, 11);
    assert.equal(w.socket.of('publish').length, 0, 'not before the end of the replay');
    w.socket.message(ROOM, 12);
    assert.deepEqual(w.socket.of('publish'), first);
    assert.deepEqual(first.map((frame) => frame.id), ids);
  });

  test('what is said while a replay runs waits for its end, behind what was said before', () => {
    const w = liveWorld(10);
    const before = w.client.publish(ROOM, { text: 'a' });
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    const joining = w.client.publish(ROOM, { text: 'b' });
    w.socket.joined(ROOM, 11, { replayed: 1 });
    const replaying = w.client.publish(ROOM, { text: 'c' });
    assert.equal(w.socket.of('publish').length, 0);
    w.socket.message(ROOM, 11);
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), [before, joining, replaying]);
  });

  test('an own id in the replay is its acknowledgement: it is not sent again', () => {
    const w = liveWorld(10);
    const [a, b] = ['a', 'b'].map((text) => w.client.publish(ROOM, { text }));
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 11, { replayed: 1 });
    w.socket.message(ROOM, 11, { id: a, from: 'u1' });
    assert.deepEqual(w.told('ack').map(({ id, seq }) => [id, seq]), [[a, 11]]);
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), [b]);
  });

  test("another user's message of the same id acknowledges nothing", () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, { text: 'a' });
    w.socket.message(ROOM, 11, { id, from: 'u2' });
    assert.equal(w.told('ack').length, 0);
    assert.equal(w.client.pending(ROOM).length, 1);
  });

  test('an acknowledged publish is not sent again', () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, { text: 'a' });
    w.socket.tell({ type: 'ack', room: ROOM, id, seq: 11 });
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 11, { replayed: 1 });
    w.socket.message(ROOM, 11, { id, from: 'u1' });
    assert.equal(w.socket.of('publish').length, 0);
    assert.equal(w.told('ack').length, 1, 'once');
  });

  test('unavailable is sent again under the same id, and those behind it wait', () => {
    const w = liveWorld(10);
    const a = w.client.publish(ROOM, { text: 'a' });
    w.socket.tell({ type: 'error', code: 'unavailable', message: '?', retry: true, room: ROOM, id: a });
    const b = w.client.publish(ROOM, { text: 'b' });
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), [a]);
    w.clock.advance(500);
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), [a, a, b]);
  });

  test('a code that this client does not know means what its `retry` says', () => {
    const w = liveWorld(10);
    const [a, b] = [w.client.publish(ROOM, 'a'), w.client.publish(ROOM, 'b')];
    w.socket.tell({ type: 'error', code: 'of_tomorrow', message: '?', retry: true, room: ROOM, id: a });
    w.socket.tell({ type: 'error', code: 'of_tomorrow', message: '?', retry: false, room: ROOM, id: b });
    assert.deepEqual(w.told('failed').map(({ id, code }) => [id, code]), [[b, 'of_tomorrow']]);
    w.clock.advance(500);
    assert.deepEqual(w.socket.of('publish').map(({ id }) => id), [a, b, a]);
    w.client.join('other');
    const { ref } = w.socket.of('join').at(-1);
    w.socket.tell({ type: 'error', code: 'of_tomorrow', message: '?', retry: true, room: 'other', ref });
    w.clock.advance(250);
    assert.equal(w.socket.of('join').length, 3);
    w.socket.tell({ type: 'error', code: 'of_tomorrow', message: '?', room: 'other', ref: w.socket.of('join').at(-1).ref });
    assert.deepEqual(w.told('refused').map(({ code }) => code), ['of_tomorrow']);
  });

  test('what is no JSON value is refused where the mistake is', () => {
    const w = liveWorld(10);
    for (const body of [undefined, () => 1]) {
      assert.throws(() => w.client.publish(ROOM, body), TypeError);
      assert.throws(() => w.client.signal(ROOM, body), TypeError);
    }
    assert.deepEqual(w.client.pending(ROOM), []);
  });

  test('a publish that is told to try later for ever fails in the end, and can be retried or discarded', () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, { text: 'a' });
    for (let n = 0; n < 8; n += 1) {
      assert.equal(w.told('failed').length, 0);
      w.socket.tell({ type: 'error', code: 'overloaded', message: 'full', retry: true, room: ROOM, id });
      w.clock.advance(15_000);
      w.socket.tell({ type: 'pong' });
    }
    assert.equal(w.told('failed')[0].code, 'overloaded');
    const sent = w.socket.of('publish').length;
    w.client.retry(ROOM, id);
    assert.equal(w.socket.of('publish').length, sent + 1);
    w.client.discard(ROOM, id);
    assert.deepEqual(w.client.pending(ROOM), []);
  });

  test('a failed publish is not sent again by a reconnect, and is settled when it turns up after all', () => {
    const w = liveWorld(10);
    const id = w.client.publish(ROOM, { text: 'a' });
    w.socket.tell({ type: 'error', code: 'forbidden', message: 'no', retry: false, room: ROOM, id });
    assert.deepEqual(w.client.pending(ROOM), [{ id, state: 'failed' }]);
    w.socket.end(1006);
    w.clock.advance(250);
    w.socket.welcome();
    w.socket.joined(ROOM, 10);
    assert.equal(w.socket.of('publish').length, 0);
    w.socket.message(ROOM, 11, { id, from: 'u1' });
    assert.deepEqual(w.client.pending(ROOM), []);
  });

  test('a body above the limit fails here: the server would close the connection over it', () => {
    const w = world();
    w.client.join(ROOM);
    w.client.publish(ROOM, { text: 'é'.repeat(60) });
    const small = w.client.publish(ROOM, { text: 'b' });
    w.client.connect();
    w.socket.welcome({ max_body: 100 });
    w.socket.joined(ROOM, 0);
    assert.equal(w.told('failed')[0].code, 'too_large');
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.id), [small]);
  });

  test('that one is too long is told when the caller has its id, and those behind it wait for that', async () => {
    const w = liveWorld(10);
    const long = w.client.publish(ROOM, 'x'.repeat(20_000));
    const [short] = [w.client.publish(ROOM, 'short')];
    assert.deepEqual([w.told('failed'), w.socket.of('publish')], [[], []]);
    await undefined;
    assert.deepEqual(w.told('failed').map(({ id }) => id), [long]);
    assert.deepEqual(w.socket.of('publish').map(({ id }) => id), [short]);
  });

  test('at most sixteen are on the wire at once, and at most five hundred are kept', () => {
    const w = liveWorld(10);
    const ids = Array.from({ length: 500 }, (_, n) => w.client.publish(ROOM, n));
    assert.equal(w.client.publish(ROOM, 'one more'), null);
    assert.equal(w.socket.of('publish').length, 16);
    ids.forEach((id, n) => w.socket.tell({ type: 'ack', room: ROOM, id, seq: 11 + n }));
    assert.deepEqual(w.socket.of('publish').map((frame) => frame.body), ids.map((_, n) => n));
  });
});

describe('signals', () => {
  const heard = (w) => w.told('signal').map(({ from, key, body }) => ({ from, key, body }));

  test('are sent at once, with their key or without, and nothing waits for an answer', () => {
    const w = liveWorld();
    w.client.signal(ROOM, { x: 1 }, 'cursor:u1');
    w.client.signal(ROOM, null);
    assert.deepEqual(w.socket.of('signal'), [
      { type: 'signal', room: ROOM, key: 'cursor:u1', body: { x: 1 } },
      { type: 'signal', room: ROOM, body: null },
    ]);
    assert.deepEqual(w.client.pending(ROOM), []);
  });

  test('are dropped while there is no connection, in no room, and when they are too long', () => {
    const w = liveWorld();
    w.client.signal('elsewhere', 1);
    w.client.signal(ROOM, 'é'.repeat(10_000), 'k');
    w.socket.end(1012);
    w.client.signal(ROOM, 1);
    w.clock.advance(60_000);
    w.socket.welcome();
    w.client.signal(ROOM, 1);
    w.socket.joined(ROOM, 10);
    assert.deepEqual(w.sockets.flatMap((socket) => socket.of('signal')), []);
  });

  test('of others are told, and move nothing', () => {
    const w = liveWorld(10);
    w.socket.tell({ type: 'signal', room: ROOM, from: 'u2', key: 'k', body: { a: 1 } });
    w.socket.tell({ type: 'signal', room: ROOM, from: 'u3', body: 2 });
    w.socket.tell({ type: 'signal', room: 'elsewhere', from: 'u3', body: 3 });
    assert.deepEqual(heard(w), [{ from: 'u2', key: 'k', body: { a: 1 } }, { from: 'u3', key: undefined, body: 2 }]);
    assert.deepEqual(w.client.position(ROOM), at(10));
  });
});

describe('reconnecting', () => {
  test('the backoff is full jitter from 250 ms to 15 s', () => {
    for (let attempt = 0; attempt < 2_000; attempt += 1) {
      const ceiling = Math.min(15_000, 250 * 2 ** attempt);
      assert.equal(backoffDelay(attempt, () => 0), 0);
      assert.equal(backoffDelay(attempt, () => 0.5), ceiling / 2);
      assert.ok(backoffDelay(attempt) <= ceiling);
    }
  });

  test('each failure in a row doubles the ceiling, and only a connection that lasts resets it', () => {
    const w = world({ random: () => 1 });
    w.client.connect();
    const delays = [];
    for (let n = 0; n < 8; n += 1) {
      if (n % 2) w.socket.welcome();
      w.socket.end(n % 2 ? 1013 : 1006);
      delays.push(w.client.state.delay);
      w.clock.advance(w.client.state.delay);
    }
    assert.deepEqual(delays, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    w.socket.welcome();
    w.clock.advance(10_000);
    w.socket.end(1012);
    assert.equal(w.client.state.delay, 250);
  });

  for (const code of [4001, 4003]) {
    test(`after ${code} it stays away`, () => {
      const w = liveWorld();
      w.socket.end(code, 'no');
      w.clock.advance(3_600_000);
      w.client.wake();
      assert.equal(w.sockets.length, 1);
      assert.deepEqual(w.client.state, { kind: 'closed', code, reason: 'no' });
      w.client.connect();
      assert.equal(w.sockets.length, 2, 'unless asked to');
    });
  }

  test('only a refusal of the credentials ends the client: any other close may be a proxy\'s', () => {
    for (const code of [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 1014, 3000, 4000, 4008, 4009]) {
      assert.equal(afterClose(code), 'resume', code);
    }
    for (const code of [1002, 1003, 1007, 1009, 4029]) assert.equal(afterClose(code), 'resume-slowly', code);
    for (const code of [4001, 4003]) assert.equal(afterClose(code), 'stop', code);
  });

  test('a close with 1000 that the page did not ask for is an end like any other: it resumes', () => {
    const w = liveWorld(10, { random: () => 1 });
    w.socket.end(1000);
    assert.deepEqual(w.client.state, { kind: 'waiting', delay: 250, code: 1000, reason: '' });
    w.clock.advance(250);
    w.socket.welcome();
    assert.deepEqual(w.socket.of('join')[0].after, at(10));
  });

  for (const code of [1002, 1003, 1007, 1009]) {
    test(`after ${code}, the word of a middlebox, it comes back, but slowly`, () => {
      const w = liveWorld(10, { random: () => 1 });
      w.socket.end(code);
      assert.equal(w.client.state.delay, 15_000);
      w.clock.advance(15_000);
      w.socket.welcome();
      assert.deepEqual(w.socket.of('join')[0].after, at(10));
    });
  }

  test('after 4029 it stays away for 15 to 30 s, and waking up does not shorten that', () => {
    for (const random of [0, 0.5, 0.999, 1]) {
      const w = liveWorld(10, { random: () => random });
      w.socket.end(4029);
      assert.ok(w.client.state.delay >= 15_000 && w.client.state.delay <= 30_000, w.client.state.delay);
      w.client.wake();
      w.client.network(true);
      w.clock.advance(14_999);
      assert.equal(w.sockets.length, 1);
      w.clock.advance(15_001);
      assert.ok(w.sockets.length > 1);
    }
    const impatient = liveWorld();
    impatient.socket.end(4029);
    impatient.client.connect();
    assert.equal(impatient.sockets.length, 2, 'unless somebody asks for it');
  });

  test('draining is told, and the connection is used until the close', () => {
    const w = liveWorld();
    let within = 0;
    w.client.on('draining', (frame) => (within = frame.within_ms));
    w.socket.tell({ type: 'draining', within_ms: 20_000 });
    w.client.publish(ROOM, 1);
    assert.equal(within, 20_000);
    assert.equal(w.socket.of('publish').length, 1);
    assert.equal(w.sockets.length, 1);
  });

  test('waking up connects at once instead of waiting', () => {
    const w = liveWorld();
    w.socket.end(1006);
    w.client.wake();
    assert.equal(w.sockets.length, 2);
    w.clock.advance(1_000);
    assert.equal(w.sockets.length, 2, 'and the wait is off');
  });

  test('waking up probes a connection, and one without a pong in five seconds is replaced at once', () => {
    const w = liveWorld();
    w.client.wake();
    assert.equal(w.socket.of('ping').length, 1);
    w.clock.advance(4_999);
    assert.equal(w.sockets.length, 1);
    w.clock.advance(1);
    assert.equal(w.sockets.length, 2);
    w.sockets[0].onclose({ code: 1006, reason: '' });
    assert.equal(w.client.state.kind, 'connecting', 'the late close of the old socket means nothing');
  });

  test('a probe that is answered changes nothing', () => {
    const w = liveWorld();
    w.client.wake();
    w.socket.tell({ type: 'pong', ref: w.socket.of('ping')[0].ref });
    w.clock.advance(6_000);
    assert.equal(w.sockets.length, 1);
  });

  test('silence longer than the heartbeat is probed without being asked', () => {
    const w = liveWorld();
    w.clock.advance(25_000);
    w.clock.advance(25_000);
    assert.equal(w.socket.of('ping').length, 1);
    w.clock.advance(5_000);
    assert.equal(w.sockets.length, 2);
  });
});

describe('history', () => {
  test('answers go to their requests', async () => {
    const w = liveWorld();
    const [first, second] = [w.client.history(ROOM, { before: 10 }, 2), w.client.history(ROOM, { after: 3 })];
    const [one, two] = w.socket.of('history');
    assert.deepEqual(one, { type: 'history', room: ROOM, before: 10, limit: 2, ref: one.ref });
    w.socket.tell({ type: 'history', room: ROOM, messages: [{ seq: 4 }], more: false, ref: two.ref });
    w.socket.tell({ type: 'history', room: ROOM, messages: [], more: true, ref: one.ref });
    assert.deepEqual(await first, { messages: [], more: true });
    assert.deepEqual(await second, { messages: [{ seq: 4 }], more: false });
    assert.deepEqual(w.client.position(ROOM), at(10));
  });

  test('a request fails with its error, with the connection, or after fifteen seconds', async () => {
    const w = liveWorld();
    const wait = [1, 2, 3].map((before) => w.client.history(ROOM, { before }));
    w.socket.tell({ type: 'error', code: 'bad_frame', message: 'no such', ref: w.socket.of('history')[0].ref });
    await assert.rejects(wait[0], { message: 'no such', code: 'bad_frame', retry: false });
    w.clock.advance(15_000);
    await assert.rejects(wait[1], /no answer/);
    w.socket.tell({ type: 'error', code: 'unavailable', message: 'too late', retry: true, ref: w.socket.of('history')[1].ref });
    assert.deepEqual(w.told('error'), [], 'nobody waits for it any more');
    await assert.rejects(wait[2], /no answer/);
    const last = w.client.history(ROOM, { before: 4 });
    w.socket.end(1006);
    await assert.rejects(last, /connection lost/);
    await assert.rejects(w.client.history(ROOM, { before: 5 }), /not connected/);
  });
});

describe('names and secrets', () => {
  test('without randomUUID an id is still a random UUID of version 4', () => {
    const plain = { getRandomValues: (bytes) => crypto.getRandomValues(bytes) };
    const ids = new Set(Array.from({ length: 100 }, () => randomId(plain)));
    assert.equal(ids.size, 100);
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('the guest secret is kept, and storage that is forbidden only costs the keeping', () => {
    const kept = new Map();
    const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const secret = guestSecret(storage);
    assert.match(secret, /^[0-9a-f]{32}$/);
    assert.equal(guestSecret(storage), secret);
    const forbidden = { getItem() { throw new Error('SecurityError'); } };
    assert.match(guestSecret(forbidden), /^[0-9a-f]{32}$/);
    assert.match(guestSecret(undefined), /^[0-9a-f]{32}$/);
  });

  test('the socket is beside the page, secure when the page is', () => {
    assert.equal(socketUrl('http://127.0.0.1:8080/#room=a'), 'ws://127.0.0.1:8080/ws');
    assert.equal(socketUrl('https://chat.example/?x=1'), 'wss://chat.example/ws');
  });

  test('room names are those of the protocol', () => {
    for (const good of ['a', 'team/7:en@x.y_z-1', 'r'.repeat(128)]) assert.match(good, ROOM_NAME);
    for (const bad of ['', 'a b', 'ä', '$service', 'a\n', 'a#', 'r'.repeat(129)]) assert.doesNotMatch(bad, ROOM_NAME);
  });
});
