// The client of the wire protocol, version 1 (docs/protocol.md). It refuses to contain a DOM: sockets, timers,
// randomness and storage are arguments, so that it runs under plain node in tests.
//
// What it keeps per room is exactly what the protocol asks for: the position of the last message seen, and the
// publishes not yet acknowledged.

/** The subprotocol that is offered. */
export const PROTOCOL = 'roomcast.v1';
/** Longest room name, and what it is made of. */
export const ROOM_NAME = /^[A-Za-z0-9._:@/-]{1,128}$/;

const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 15_000;
/** A connection that lasted this long counts as good: the backoff starts again from its base. */
const STABLE_MS = 10_000;
/** How long a handshake may take, from the constructor to `welcome`. */
const OPENING_MS = 10_000;
/** How long a probe waits for its `pong`. */
const PONG_MS = 5_000;
const REQUEST_MS = 15_000;
/** Publishes on the wire at once, per room; the others wait their turn, in order. */
const IN_FLIGHT = 16;
/** Publishes kept per room; more are refused, so that an offline page cannot grow without bound. */
const MAX_PENDING = 500;
/** Answers "try later" that one publish takes before it is given back as failed. */
const MAX_TRIES = 8;
/** The server's default, until `welcome` names the real one; in bytes of JSON text. */
const DEFAULT_MAX_BODY = 16 * 1024;

/** Full jitter: anything from nothing to the ceiling, which doubles up to the cap. In milliseconds. */
export function backoffDelay(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(attempt, 16));
}

/** What a close code asks for: `resume`, `resume-slowly`, or `stop` (the same again would end the same way). */
export function afterClose(code) {
  if ([1000, 1002, 1003, 1007, 1009, 4001, 4003].includes(code)) return 'stop';
  return code === 4029 ? 'resume-slowly' : 'resume';
}

/** A random UUID. Pages on plain http (other than localhost) have no `randomUUID`. */
export function randomId(crypto = globalThis.crypto) {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The secret that makes this browser one user, in all its tabs and after a reload. Storage may be forbidden. */
export function guestSecret(storage, crypto = globalThis.crypto) {
  const key = 'roomcast.guest';
  const fresh = randomId(crypto).replaceAll('-', '');
  try {
    const kept = storage.getItem(key);
    if (kept) return kept;
    storage.setItem(key, fresh);
  } catch {
    // A user for this page's lifetime, then.
  }
  return fresh;
}

/** The address of the WebSocket beside a page. */
export function socketUrl(page) {
  const url = new URL('ws', page);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = '';
  url.hash = '';
  return url.href;
}

const byteLength = (text) => new TextEncoder().encode(text).length;

/**
 * One user's connection, kept up through closes, sleeps and restarts.
 *
 * Events (`on`): `state` {kind: connecting | live | waiting (delay) | closed (code, reason)}, `draining` {within_ms},
 * `joined` {room, position, recovered, replayed}, `live` {room} (the replay is over), `reset` {room, position},
 * `message` {room, message}, `signal` {room, from, key, body}, `ack` {room, id, seq}, `pending` {room},
 * `failed` {room, id, code, message}, `refused` {room, code, message} (the join), `error` {code, message}.
 */
export class Roomcast {
  state = { kind: 'idle' };
  user = null;
  node = null;
  maxBody = DEFAULT_MAX_BODY;

  #options;
  #socket = null;
  #rooms = new Map();
  #requests = new Map();
  #timers = new Map();
  #listeners = new Map();
  #attempt = 0;
  #nextRef = 1;
  #heard = false;

  /** Takes `url`, `name`, `guest`; tests add `WebSocket`, `clock` (setTimeout, clearTimeout), `random`, `crypto`. */
  constructor(options) {
    const { WebSocket, crypto } = globalThis;
    this.#options = { WebSocket, crypto, clock: globalThis, random: Math.random, ...options };
  }

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  /** Connects now, whatever the backoff says. */
  connect() {
    this.#disarm('reconnect');
    if (this.#socket) return;
    const { url, guest, name, WebSocket } = this.#options;
    const socket = new WebSocket(`${url}?${new URLSearchParams({ guest, name })}`, [PROTOCOL]);
    this.#socket = socket;
    const ours = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onopen = ours(() => this.#rooms.forEach((room) => this.#sendJoin(room)));
    socket.onmessage = ours((event) => this.#onText(event.data));
    socket.onclose = ours((event) => this.#lost(event.code, event.reason));
    this.#arm('opening', OPENING_MS, () => this.#abandon('no answer'));
    this.#setState({ kind: 'connecting' });
  }

  /** Ends for good, or until `connect`. */
  close() {
    this.#disarm('reconnect');
    if (this.#socket) this.#letGo();
    this.#setState({ kind: 'idle' });
  }

  /** The name belongs to the connection: a new one takes a new connection, which resumes. */
  rename(name) {
    if (name === this.#options.name) return;
    this.#options.name = name;
    if (!this.#socket) return;
    this.#letGo();
    this.connect();
  }

  /** The machine woke up or the network came back: find out now whether the connection still lives. */
  wake() {
    if (this.state.kind === 'waiting') this.connect();
    else if (this.state.kind === 'live') this.#probe();
  }

  /** Enters a room with its `history` newest messages, and stays in it over reconnects. */
  join(name, { history = 50 } = {}) {
    if (this.#rooms.has(name)) return;
    const room = {
      name, history, phase: 'apart', joinRef: null, joinTries: 0,
      position: null, epoch: '', next: null, target: null, pending: new Map(), held: false,
    };
    this.#rooms.set(name, room);
    if (this.#isOpen()) this.#sendJoin(room);
  }

  /** Leaves a room and forgets its position and its unacknowledged publishes. */
  leave(name) {
    const room = this.#rooms.get(name);
    if (!this.#rooms.delete(name)) return;
    this.#disarm(`hold ${name}`);
    this.#disarm(`join ${name}`);
    if (room.phase !== 'apart') this.#send({ type: 'leave', room: name });
  }

  /** Says something durable, now or when the connection is back. The id, or null when too much is waiting already. */
  publish(name, body) {
    const room = this.#rooms.get(name);
    if (!room || room.pending.size >= MAX_PENDING) return null;
    const id = randomId(this.#options.crypto);
    // The text is fixed once: a re-send must be the same to the byte.
    room.pending.set(id, { id, text: JSON.stringify(body), state: 'queued', tries: 0 });
    this.#pump(room);
    return id;
  }

  /**
   * Says something in passing to the others in the room: now or not at all, and nothing tells whether it arrived. A newer
   * value of a `key` replaces the older one.
   */
  signal(name, body, key) {
    const fits = byteLength(JSON.stringify(body)) <= this.maxBody;
    if (fits && this.#inRoom(name)) this.#send({ type: 'signal', room: name, key, body });
  }

  /** Sends a failed publish again, under its id: if the first one was logged after all, this is no second message. */
  retry(name, id) {
    const room = this.#rooms.get(name);
    const entry = room?.pending.get(id);
    if (entry?.state !== 'failed') return;
    Object.assign(entry, { state: 'queued', tries: 0 });
    this.#pump(room);
    this.#emit('pending', { room: name });
  }

  /** Gives up a failed publish. */
  discard(name, id) {
    if (this.#rooms.get(name)?.pending.delete(id)) this.#emit('pending', { room: name });
  }

  /** The publishes without an acknowledgement, oldest first: `queued`, `sent` or `failed`. */
  pending(name) {
    return Array.from(this.#rooms.get(name)?.pending.values() ?? [], ({ id, state }) => ({ id, state }));
  }

  /** The position of the last message seen in a room; null before the first `joined`. */
  position(name) {
    return this.#rooms.get(name)?.position ?? null;
  }

  /** Reads back: {messages, more}. `range` is {before} or {after}, exclusive. Rejects when the connection is lost. */
  history(name, range, limit = 50) {
    if (!this.#isOpen()) return Promise.reject(new Error('not connected'));
    const ref = this.#nextRef++;
    this.#send({ type: 'history', room: name, ...range, limit, ref });
    return new Promise((resolve, reject) => {
      this.#requests.set(ref, { resolve, reject });
      this.#arm(`request ${ref}`, REQUEST_MS, () => this.#answer(ref, 'reject', new Error('no answer')));
    });
  }

  // --- frames ---------------------------------------------------------------------------------------------------

  #onText(text) {
    this.#heard = true;
    if (this.#timers.has('pong')) this.#armPong();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    switch (frame?.type) {
      case 'welcome': return this.#onWelcome(frame);
      case 'joined': return this.#onJoined(frame);
      case 'reset': return this.#onReset(frame);
      case 'message': return this.#onMessage(frame);
      case 'signal': return this.#inRoom(frame.room) && this.#emit('signal', frame);
      case 'ack': return this.#settle(this.#rooms.get(frame.room), frame);
      case 'history': return this.#onHistory(frame);
      case 'pong': return this.#disarm('pong');
      case 'draining': return this.#emit('draining', { within_ms: frame.within_ms });
      case 'error': return this.#onError(frame);
      default: // a newer server's frame
    }
  }

  #onWelcome({ user, node, max_body: maxBody, heartbeat_ms: heartbeat }) {
    Object.assign(this, { user, node, maxBody });
    this.#disarm('opening');
    this.#arm('stable', STABLE_MS, () => (this.#attempt = 0));
    this.#watch(heartbeat);
    this.#setState({ kind: 'live' });
  }

  #onJoined({ room: name, position, recovered, replayed, ref }) {
    const room = this.#rooms.get(name);
    if (room?.phase !== 'joining' || room.joinRef !== ref) return;
    const resumed = room.position !== null && recovered;
    room.next = resumed ? room.position.seq + 1 : null;
    room.joinTries = 0;
    room.epoch = position.epoch;
    room.target = position;
    room.phase = 'replaying';
    if (replayed === 0) {
      room.position = position;
      room.next = position.seq + 1;
    }
    this.#emit('joined', { room: name, position, recovered, replayed });
    this.#endReplay(room);
  }

  #onReset({ room: name, position }) {
    const room = this.#inRoom(name);
    if (!room) return;
    room.epoch = position.epoch;
    room.position = position;
    room.next = position.seq + 1;
    this.#emit('reset', { room: name, position });
    this.#endReplay(room);
  }

  #onMessage(message) {
    const room = this.#inRoom(message.room);
    if (!room || (room.next !== null && message.seq < room.next)) return;
    if (room.next !== null && message.seq > room.next) {
      // The protocol excludes this. Resuming from the position asks for what is missing.
      this.#abandon('messages out of order');
      return;
    }
    room.next = message.seq + 1;
    room.position = { epoch: room.epoch, seq: message.seq };
    if (message.from === this.user) this.#settle(room, message);
    this.#emit('message', { room: message.room, message });
    this.#endReplay(room);
  }

  /** The replay is over at the position that `joined` named, or when a `reset` has led past it. */
  #endReplay(room) {
    const { position, target } = room;
    const behind = position === null || (position.epoch === target.epoch && position.seq < target.seq);
    const foreign = position !== null && position.epoch !== room.epoch;
    if (room.phase !== 'replaying' || behind || foreign) return;
    room.phase = 'live';
    this.#emit('live', { room: room.name });
    this.#pump(room);
  }

  #onHistory({ room: name, messages, more, ref }) {
    const room = this.#rooms.get(name);
    for (const message of messages) if (message.from === this.user) this.#settle(room, message);
    this.#answer(ref, 'resolve', { messages, more });
  }

  #onError({ code, message, retry, room: name, id, ref }) {
    const room = this.#rooms.get(name);
    const entry = room?.pending.get(id);
    if (entry) return this.#publishFailed(room, entry, code, message, retry);
    if (this.#answer(ref, 'reject', new Error(message))) return;
    const joining = [...this.#rooms.values()].find((r) => r.phase === 'joining' && r.joinRef === ref);
    if (joining) return this.#joinFailed(joining, code, message, retry);
    this.#emit('error', { code, message });
  }

  #joinFailed(room, code, message, retry) {
    room.phase = 'apart';
    if (retry) {
      const again = () => this.#isOpen() && this.#sendJoin(room);
      this.#arm(`join ${room.name}`, backoffDelay(room.joinTries++, this.#options.random), again);
    } else {
      this.#emit('refused', { room: room.name, code, message });
    }
  }

  #publishFailed(room, entry, code, message, retry) {
    entry.tries += 1;
    if ((retry || code === 'not_joined') && entry.tries < MAX_TRIES) {
      entry.state = 'queued';
      if (code === 'not_joined' && room.phase === 'live') this.#sendJoin(room);
      // Those behind it wait too: order is worth more than a few hundred milliseconds.
      room.held = true;
      this.#arm(`hold ${room.name}`, backoffDelay(entry.tries, this.#options.random), () => {
        room.held = false;
        this.#pump(room);
      });
    } else {
      this.#fail(room, entry, code, message);
      this.#pump(room);
    }
  }

  // --- publishes ------------------------------------------------------------------------------------------------

  /** Puts queued publishes on the wire, oldest first. Only in a room whose replay is over: it may acknowledge some. */
  #pump(room) {
    if (room.phase !== 'live' || room.held) return;
    const entries = [...room.pending.values()];
    let inFlight = entries.filter((entry) => entry.state === 'sent').length;
    for (const entry of entries) {
      if (entry.state !== 'queued') continue;
      if (inFlight >= IN_FLIGHT) break;
      if (byteLength(entry.text) > this.maxBody) {
        this.#fail(room, entry, 'too_large', `longer than ${this.maxBody} bytes`);
        continue;
      }
      entry.state = 'sent';
      inFlight += 1;
      const [name, id] = [JSON.stringify(room.name), JSON.stringify(entry.id)];
      this.#socket.send(`{"type":"publish","room":${name},"id":${id},"body":${entry.text}}`);
    }
  }

  /** A publish is durable: its `ack`, or the message itself, says so. Never moves the position. */
  #settle(room, { id, seq }) {
    if (!room?.pending.delete(id)) return;
    this.#emit('ack', { room: room.name, id, seq });
    this.#pump(room);
  }

  #fail(room, entry, code, message) {
    entry.state = 'failed';
    this.#emit('failed', { room: room.name, id: entry.id, code, message });
  }

  // --- the connection -------------------------------------------------------------------------------------------

  #sendJoin(room) {
    room.phase = 'joining';
    room.joinRef = this.#nextRef++;
    const from = room.position ? { after: room.position } : room.history > 0 ? { history: room.history } : {};
    this.#send({ type: 'join', room: room.name, ...from, ref: room.joinRef });
  }

  #inRoom(name) {
    const room = this.#rooms.get(name);
    return room && (room.phase === 'replaying' || room.phase === 'live') ? room : null;
  }

  /** Browsers do not show the server's pings to a page: silence is broken with a ping of our own. */
  #watch(heartbeat) {
    this.#heard = false;
    this.#arm('idle', heartbeat, () => {
      if (!this.#heard) this.#probe();
      this.#watch(heartbeat);
    });
  }

  #probe() {
    if (this.#timers.has('pong')) return;
    this.#send({ type: 'ping', ref: this.#nextRef++ });
    this.#armPong();
  }

  /** Other frames give the pong, which may queue behind them, more time. */
  #armPong() {
    this.#arm('pong', PONG_MS, () => {
      this.#letGo();
      this.connect();
    });
  }

  /** Takes a connection for dead, without waiting for the close handshake that a dead one never finishes. */
  #abandon(reason) {
    this.#letGo();
    this.#reconnectLater(1006, reason);
  }

  #lost(code, reason) {
    this.#letGo();
    const then = afterClose(code);
    if (then === 'stop') return this.#setState({ kind: 'closed', code, reason });
    if (then === 'resume-slowly') this.#attempt = Math.max(this.#attempt, 6);
    this.#reconnectLater(code, reason);
  }

  #reconnectLater(code, reason) {
    const delay = backoffDelay(this.#attempt++, this.#options.random);
    this.#arm('reconnect', delay, () => this.connect());
    this.#setState({ kind: 'waiting', delay, code, reason });
  }

  /** Drops the socket and all that belonged to it; rooms, positions and publishes stay. */
  #letGo() {
    const socket = this.#socket;
    this.#socket = null;
    socket.close(1000);
    for (const name of ['opening', 'stable', 'idle', 'pong']) this.#disarm(name);
    for (const ref of [...this.#requests.keys()]) this.#answer(ref, 'reject', new Error('connection lost'));
    for (const room of this.#rooms.values()) {
      this.#disarm(`hold ${room.name}`);
      this.#disarm(`join ${room.name}`);
      Object.assign(room, { phase: 'apart', held: false });
      for (const entry of room.pending.values()) if (entry.state === 'sent') entry.state = 'queued';
    }
  }

  #answer(ref, how, value) {
    const request = this.#requests.get(ref);
    if (!request) return false;
    this.#requests.delete(ref);
    this.#disarm(`request ${ref}`);
    request[how](value);
    return true;
  }

  #isOpen() {
    return this.#socket?.readyState === 1;
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #setState(state) {
    this.state = state;
    this.#emit('state', state);
  }

  #emit(event, detail) {
    for (const listener of this.#listeners.get(event) ?? []) listener(detail);
  }

  #arm(name, ms, action) {
    this.#disarm(name);
    this.#timers.set(name, this.#options.clock.setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, ms));
  }

  #disarm(name) {
    if (!this.#timers.has(name)) return;
    this.#options.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
