// What a client may tell and must tell, whatever its listeners do: judged from a record of calls and events, for fakes in
// virtual time and for real nodes alike.

/** Wraps a client so that its calls are recorded, beside the events, in the order in which they happen. */
export function recorded(client, events) {
  const record = [];
  for (const event of events) client.on(event, (detail) => record.push({ event, ...detail }));
  return { record, client: new Proxy(client, { get: (_, name) => typeof client[name] === 'function' ? wrap(name) : client[name] }) };

  function wrap(name) {
    return (...given) => {
      record.push({ call: name, room: given[0], id: given[1] });
      const answer = client[name](...given);
      if (name === 'publish' && answer) record.push({ published: answer, room: given[0] });
      return answer;
    };
  }
}

/**
 * The complaints about one room; `end`: {seq of the newest message, pending publishes, inside: whether joined at the end,
 * messageFirst: whether the service tells an own message before its ack}.
 */
export function judgeRoom(record, room, end) {
  const complaints = [];
  const publishes = new Map(); // id → what became of it
  const retried = new Set(); // also by a listener that heard of the failure before the recorder did
  let changes = 0; // retries and discards, each of which may be told once
  let [joined, closed, next, isIn, messages] = [false, false, null, false, new Set()];
  const settle = (id, how) => {
    const was = publishes.get(id);
    if (was === undefined) complaints.push(`${how} of a publish that there is not`);
    else if (was !== 'open' && !(was === 'failed' && (how === 'acked' || retried.delete(id)))) complaints.push(`${was}, then ${how}`);
    publishes.set(id, how);
  };
  for (const one of record) {
    if (one.call === 'close') [closed, isIn, changes] = [true, false, 0];
    if (one.call === 'connect') closed = false;
    if (one.event === 'state' && one.kind !== 'live' && one.kind !== 'offline') isIn = false;
    if (one.room !== room) continue;
    if (one.call === 'join' && !joined) [joined, next, isIn, messages] = [true, null, false, new Set()];
    if (one.call === 'leave') {
      [joined, isIn] = [false, false];
      for (const [id, how] of publishes) if (how === 'open' || how === 'failed') publishes.set(id, 'discarded');
    }
    if (one.call === 'retry' || one.call === 'discard') changes += 1;
    if (one.call === 'retry') retried.add(one.id);
    if (one.call === 'retry' && publishes.get(one.id) === 'failed') publishes.set(one.id, 'open');
    if (one.call === 'discard' && publishes.get(one.id) !== 'acked') publishes.set(one.id, 'discarded');
    if (one.published) publishes.set(one.published, 'open');
    if (!one.event) continue;
    if (!joined) complaints.push(`${one.event} after leave`);
    if (closed && !(one.event === 'pending' && changes > 0)) complaints.push(`${one.event} after close`);
    switch (one.event) {
      case 'joined':
        if (isIn === 'joined') complaints.push('joined twice');
        isIn = 'joined';
        if (one.recovered && one.replayed === 0) next = one.position.seq + 1;
        break;
      case 'live':
        if (isIn !== 'joined') complaints.push(`live after ${isIn}`);
        isIn = 'live';
        break;
      case 'reset':
        next = one.position.seq + 1;
        break;
      case 'message':
        if (!isIn) complaints.push('a message before joined');
        if (next !== null && one.message.seq !== next) complaints.push(`message ${one.message.seq} instead of ${next}`);
        next = one.message.seq + 1;
        messages.add(one.message.id);
        break;
      case 'ack':
        if (end.messageFirst && !messages.has(one.id)) complaints.push('an ack before its message');
        settle(one.id, 'acked');
        break;
      case 'failed':
        settle(one.id, 'failed');
        break;
      default:
    }
  }
  if (joined && !closed && end.inside) {
    if (isIn !== 'live') complaints.push(`not live at the end, but ${isIn}`);
    if (next !== null && next !== end.seq + 1) complaints.push(`the newest message is ${end.seq}, told up to ${next - 1}`);
    const open = [...publishes].filter(([, how]) => how === 'open').map(([id]) => id);
    if (open.length > 0) complaints.push(`${open.length} publishes came to no end`);
    const failed = [...publishes].filter(([, how]) => how === 'failed').length;
    if (end.pending !== failed) complaints.push(`${end.pending} pending, ${failed} failed`);
  }
  return complaints;
}
