// Runs in a browser: lives of a client on two real nodes, whose listener makes a call in the middle of an event. Judged by
// the same model as those in virtual time.

import { Roomcast } from '/roomcast.js';
import { callsOn, MISTAKE } from '/tests/calls.mjs';
import { judgeRoom, recorded } from '/tests/judge.mjs';

const EVENTS = ['state', 'joined', 'live', 'reset', 'message', 'ack', 'pending', 'failed', 'refused', 'error'];
const PATIENCE_MS = 15_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, check) {
  for (const deadline = Date.now() + PATIENCE_MS; !check(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
  }
}

/** The client is connected and has nothing on its way to the room, or it was closed; and it tells nothing more. */
async function quiet(client, record, room) {
  let [told, since] = [-1, 0];
  await until('quiet', () => {
    if (record.length !== told) [told, since] = [record.length, Date.now()];
    const waits = client.pending(room).some(({ state }) => state !== 'failed');
    const { kind } = client.state;
    return (kind === 'idle' || (kind === 'live' && !waits)) && Date.now() - since > 100;
  });
}

function clientOf(url, guest, more) {
  return new Roomcast({ url, guest, name: guest, ...more });
}

/** One life: the nodes' sockets are at `near` and `far`. Gives complaints. */
async function live({ near, far, room, on, nth, call }) {
  const mistakes = [];
  const other = clientOf(far, `other of ${room}`);
  other.join(room);
  other.connect();
  await until('the other is live', () => other.pending(room).length === 0 && other.position(room));
  ['first', 'second'].forEach((text) => other.publish(room, text));
  await until('two messages', () => other.position(room).seq === 2);

  const inner = clientOf(near, `subject of ${room}`, { reportError: (mistake) => mistakes.push(mistake) });
  const { record, client } = recorded(inner, EVENTS);
  let seen = 0;
  inner.on(on, () => {
    seen += 1;
    if (seen === nth) callsOn(room)[call](client);
  });
  client.join(room);
  ['waits', 'behind it'].forEach((text) => client.publish(room, text));
  client.connect();
  await quiet(inner, record, room);
  client.publish(room, 'later');
  other.publish(room, 'third');
  await quiet(inner, record, room);
  client.rename('another name'); // a connection that resumes
  other.publish(room, 'fourth');
  client.publish(room, 'in between');
  await quiet(inner, record, room);
  client.connect();

  let complaints;
  const settled = () => {
    const inside = inner.state.kind === 'live' && other.pending(room).length === 0;
    complaints = judgeRoom(record, room, { seq: other.position(room).seq, pending: inner.pending(room).length, inside });
    return inside && complaints.length === 0;
  };
  await until('the end', settled).catch(({ message }) => (complaints = [...(complaints ?? []), message]));
  if (call === 'throw' ? mistakes.some(({ message }) => message !== MISTAKE) : mistakes.length > 0) complaints.push(`${mistakes}`);
  if (seen < nth) complaints.push(`${on} was told ${seen} times`);
  for (const one of [client, other]) one.close();
  return complaints.map((complaint) => `${call} at ${on} number ${nth}: ${complaint}`);
}

/** All lives, so many at a time. */
export async function run({ near, far, lives, atATime }) {
  const complaints = [];
  const waiting = lives.map((life, n) => ({ ...life, near, far, room: `life-${n}` }));
  await Promise.all(Array.from({ length: atATime }, async () => {
    for (let life = waiting.pop(); life; life = waiting.pop()) complaints.push(...await live(life));
  }));
  return complaints;
}
