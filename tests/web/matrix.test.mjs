// Every event × every call, at every occurrence of the event in a life that has all phases: joins with and without a
// replay, resumes, a reset, refusals, faults, a drain, an outage. A model judges what was told and sent.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Roomcast } from '../../web/roomcast.js';
import { callsOn, MISTAKE } from './calls.mjs';
import { EVENTS, FakeClock } from './fakes.mjs';
import { judgeRoom, recorded } from './judge.mjs';
import { Service } from './service.mjs';

const ROOM = 'lobby';
const SIDE = 'side'; // a room that no listener touches
const CALLS = callsOn(ROOM);

/** Lets microtasks run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** One life of a client, in which `call` is made within the `nth` telling of `on`. Gives what was told, and complaints. */
async function live({ on, nth, call, ackFirst }) {
  const clock = new FakeClock();
  const service = new Service(clock);
  service.ackFirst = ackFirst;
  const [mistakes, wire] = [[], []];
  service.sent = (frame) => wire.push(frame);
  const inner = new Roomcast({
    url: 'ws://host/ws', guest: 'me', name: 'Me', WebSocket: service.sockets, clock, random: () => 0.5,
    reportError: (mistake) => mistakes.push(mistake),
  });
  let seen = 0;
  let acted = false;
  const act = () => {
    seen += 1;
    if (seen !== nth) return;
    acted = true;
    CALLS[call](client);
  };
  // Half of the listeners that act have been there before the recorder, half come after it. An event that is being told
  // when the client is closed goes on to the listeners behind: else they would lose a message.
  const first = nth % 2 === 1 && !call.includes('close');
  if (first) inner.on(on, () => act());
  const { record, client } = recorded(inner, EVENTS);
  if (!first) inner.on(on, () => act());
  await script(client, service, clock);
  // Whatever was done: the client comes back and everything comes to its end.
  client.connect();
  clock.advance(120_000);
  const end = (room) => ({
    seq: service.head(room).seq, pending: inner.pending(room).length, inside: inner.state.kind === 'live', messageFirst: !ackFirst,
  });
  const complaints = [ROOM, SIDE].flatMap((room) => judgeRoom(record, room, end(room)).map((one) => `${room}: ${one}`));
  complaints.push(...judgeWire(wire));
  if (inner.state.kind !== 'live') complaints.push(`${inner.state.kind} at the end`);
  if (inner.pending('refused').some(({ state }) => state !== 'failed')) complaints.push('a publish waits for a refused join');
  for (const one of record.filter(({ event }) => event === 'ack')) {
    if (!service.logged.has(one.id)) complaints.push('an ack of what was not logged');
  }
  const expected = acted && call === 'throw' ? [MISTAKE] : [];
  if (mistakes.map(({ message }) => message).join() !== expected.join()) complaints.push(`mistakes: ${mistakes.join()}`);
  const told = [...record];
  client.close();
  if (clock.size !== 0) complaints.push(`${clock.size} timers are left`);
  return { record: told, complaints, acted };
}

/** All phases, one after the other. */
async function script(client, service, clock) {
  const wait = async (ms = 60) => {
    await turn();
    clock.advance(ms);
  };
  const say = (body) => client.publish(ROOM, body);
  service.say(SIDE, 'side 1');
  client.join(ROOM);
  client.join(SIDE);
  say('before anything'); // an empty room, with a publish that waits
  client.connect();
  await wait();
  ['a', 'b'].forEach(say);
  service.say(ROOM, 'from another');
  service.signal(ROOM);
  service.complain(ROOM);
  await wait();
  service.cut(1006); // a resume in which something was missed, and something is sent again
  say('while away');
  service.say(ROOM, 'missed 1');
  service.say(SIDE, 'missed on the side');
  service.say(ROOM, 'missed 2');
  await wait(1_000);
  say('x'.repeat(300)); // too long, with one behind it
  say('behind it');
  await wait();
  service.publishFaults.push({ code: 'overloaded', retry: true }, { code: 'forbidden', retry: false });
  ['to be tried again', 'refused', 'taken'].forEach(say);
  await wait(2_000);
  client.pending(ROOM).forEach(({ id }, n) => (n % 2 ? client.retry(ROOM, id) : client.discard(ROOM, id)));
  await wait();
  service.forget(ROOM); // a resume that cannot be
  service.cut(1000);
  say('in the new epoch');
  await wait(1_000);
  service.expel(ROOM); // a publish that finds no membership
  say('outside');
  await wait(2_000);
  Array.from({ length: 20 }, (_, n) => say(n)); // more than go out at once
  await wait();
  service.drain();
  say('while it drains');
  await wait(1_000);
  service.joinFaults.push({ room: ROOM, code: 'unavailable', retry: true });
  service.cut(1013);
  await wait(3_000);
  client.leave('refused');
  service.joinFaults.push({ room: 'refused', code: 'forbidden', retry: false });
  client.join('refused');
  client.publish('refused', 'waits for a join that is refused');
  await wait(1_000);
  client.network(false);
  await wait(6_000);
  client.network(true);
  await wait(1_000);
}

/** In each connection: nothing of a room is sent that is not joined there. */
function judgeWire(wire) {
  const complaints = [];
  const joined = new Set();
  for (const { type, room } of wire) {
    if (type === 'join') joined.add(room);
    else if (type === 'leave' && !joined.delete(room)) complaints.push(`leave of ${room}, which was not joined`);
    else if ((type === 'publish' || type === 'signal') && !joined.has(room)) complaints.push(`${type} to ${room} after leave`);
  }
  return complaints;
}

describe('the model', () => {
  const joined = { event: 'joined', room: ROOM, position: { epoch: '1', seq: 0 }, recovered: true, replayed: 0 };
  const message = (seq) => ({ event: 'message', room: ROOM, message: { seq, id: `m${seq}` } });
  const start = [{ call: 'join', room: ROOM }, { event: 'state', kind: 'live' }, joined, { event: 'live', room: ROOM }];
  const published = { published: 'p', room: ROOM };
  const told = (event, more) => ({ event, room: ROOM, id: 'p', ...more });
  const judged = (seq, ...more) => judgeRoom([...start, ...more], ROOM, { seq, pending: 0, inside: true });
  const own = { ...message(1), message: { seq: 1, id: 'p' } };
  const discarded = { call: 'discard', room: ROOM, id: 'p' };
  const pending = { event: 'pending', room: ROOM };

  test('finds nothing wrong with a life as it should be', () => {
    assert.deepEqual(judged(2, message(1), published, message(2), told('ack')), []);
    assert.deepEqual(judged(0, published, told('failed'), { call: 'discard', room: ROOM, id: 'p' }), []);
    assert.deepEqual(judged(9, published, { call: 'leave', room: ROOM }), []);
    assert.deepEqual(judged(0, published, { call: 'close' }, discarded, pending), []);
    assert.deepEqual(judgeRoom([...start, published, own, told('ack')], ROOM, { seq: 1, pending: 0, messageFirst: true }), []);
  });

  test('complains of an ack before its own message only where the message comes first', () => {
    const life = [...start, published, told('ack'), own];
    assert.deepEqual(judgeRoom(life, ROOM, { seq: 1, pending: 0, messageFirst: true }), ['an ack before its message']);
    assert.deepEqual(judgeRoom(life, ROOM, { seq: 1, pending: 0, messageFirst: false }), []);
  });

  const rows = [
    [[2, message(1)], 'the newest message is 2, told up to 1'],
    [[2, message(2)], 'message 2 instead of 1'],
    [[1, message(1), message(1)], 'message 1 instead of 2'],
    [[1, { call: 'leave', room: ROOM }, message(1)], 'message after leave'],
    [[0, { call: 'close' }, told('ack')], 'ack after close'],
    [[0, published, discarded, { call: 'close' }, pending], 'pending after close'],
    [[0, { event: 'live', room: ROOM }], 'live after live'],
    [[0, joined], 'not live at the end, but joined'],
    [[0, published], '1 publishes came to no end'],
    [[0, published, told('ack'), told('ack')], 'acked, then acked'],
    [[0, published, told('ack'), told('failed')], 'acked, then failed'],
    [[0, told('failed')], 'failed of a publish that there is not'],
    [[0, published, told('failed')], '0 pending, 1 failed'],
  ];
  for (const [life, complaint] of rows) {
    test(`complains: ${complaint}`, () => assert.ok(judged(...life).includes(complaint), judged(...life).join()));
  }
});

for (const ackFirst of [false, true]) {
  describe(`a life in which the ack comes ${ackFirst ? 'before' : 'after'} the own message`, async () => {
    const undisturbed = await live({ on: 'state', nth: 0, call: 'nothing', ackFirst });
    const count = (event) => undisturbed.record.filter((one) => one.event === event).length;

    test('has every event, and nothing to complain of', () => {
      for (const event of EVENTS) assert.ok(count(event) > 0, event);
      assert.deepEqual(undisturbed.complaints, []);
      assert.ok(count('ack') > 20 && count('live') > 8 && count('reset') > 1);
    });

    for (const call of Object.keys(CALLS)) {
      test(`stays right when a listener does this at any event: ${call}`, async () => {
        let lives = 0;
        for (const on of EVENTS) {
          for (let nth = 1; nth <= count(on); nth += 1) {
            const { complaints, acted } = await live({ on, nth, call, ackFirst });
            assert.deepEqual(complaints, [], `${call} at ${on} number ${nth}`);
            assert.ok(acted);
            lives += 1;
          }
        }
        assert.ok(lives > 60, `${lives}`);
      });
    }
  });
}
