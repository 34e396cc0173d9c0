// The client of the wire protocol, version 1 (docs/protocol.md), for browsers. It refuses to contain a DOM: sockets,
// timers, randomness and storage are arguments, so that it runs under plain node in tests.
//
// What it keeps per room is exactly what the protocol asks for: the position of the last message seen, and the
// publishes not yet acknowledged. `client/session.js` decides, `client/shell.js` does.

import { randomId, freshSecret } from './client/identity.js';
import { Session } from './client/session.js';
import { Shell } from './client/shell.js';

export { afterClose, backoffDelay } from './client/backoff.js';
export { guestSecret, randomId, sharedGuest } from './client/identity.js';

/** The subprotocol that is offered. */
export const PROTOCOL = 'roomcast.v1';
/** Longest room name, and what it is made of. */
export const ROOM_NAME = /^[A-Za-z0-9._:@/-]{1,128}$/;

/** The address of the WebSocket beside a page. */
export function socketUrl(page) {
  const url = new URL('ws', page);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = '';
  url.hash = '';
  return url.href;
}

/** What was given of these, behind a URL that may have a query already. */
function withQuery(url, fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  if (given.length === 0) return url;
  return `${url}${url.includes('?') ? '&' : '?'}${new URLSearchParams(given)}`;
}

/**
 * One user's connection, kept up through closes, sleeps and restarts.
 *
 * Events (`on`): `state` {kind: connecting | live | waiting (delay, code, reason) | offline (connected: the connection is kept
 * and may prove the browser wrong) | closed (code, reason) | idle}, `draining` {within_ms}, `joined` {room, position, recovered, replayed}, `live` {room} (the replay is over), `reset` {room, position},
 * `message` {room, message}, `signal` {room, from, key, body}, `ack` {room, id, seq}, `pending` {room},
 * `failed` {room, id, code, message}, `refused` {room, code, message} (the join), `error` {code, message, retry, room}.
 *
 * Listeners may call anything and may throw (`reportError` gets it). After `leave` nothing of that room is told, after
 * `close` nothing but the state. An own message is told before the `ack` that it stands for.
 */
export class Roomcast {
  #options;
  #session;
  #shell;

  /**
   * Takes `url`; `name`; `guest`, the user's secret (without one each client is a user of its own); `probe`, which
   * resolves to true when the node answers: then it is asked before an attempt that follows a failed one. Tests add
   * `WebSocket`, `clock` (setTimeout, clearTimeout), `now` (ms from any beginning), `random`, `crypto`, `reportError`.
   */
  constructor(options) {
    const { WebSocket, crypto } = globalThis;
    this.#options = { WebSocket, crypto, clock: globalThis, now: () => performance.now(), random: Math.random, ...options };
    const { now, random, probe } = this.#options;
    const url = String(this.#options.url);
    // A connection without a secret would be another user than the one before it.
    if (!/[?&](guest|token)=/.test(url)) this.#options.guest ??= freshSecret(this.#options.crypto);
    const address = () => withQuery(url, { guest: this.#options.guest, name: this.#options.name });
    this.#session = new Session({ random, now, address, canProbe: typeof probe === 'function' });
    this.#shell = new Shell(this.#session, { ...this.#options, protocols: [PROTOCOL] });
  }

  /** The connection: {kind, …} as the event `state` tells it. */
  get state() {
    return this.#session.link.state;
  }

  /** The user as the service calls them; null before the first `welcome`. */
  get user() {
    return this.#session.user;
  }

  /** The id of the node that the client is, or was last, connected to. */
  get node() {
    return this.#session.node;
  }

  /** The longest body, in bytes of JSON text. */
  get maxBody() {
    return this.#session.maxBody;
  }

  on(event, listener) {
    this.#shell.on(event, listener);
    return this;
  }

  /** Connects now, whatever the backoff says. */
  connect() {
    this.#shell.call(({ link }) => link.handleConnect());
  }

  /** Ends for good, or until `connect`. */
  close() {
    this.#shell.call(({ link }) => link.handleClose());
  }

  /** The name belongs to the connection: a new one takes a new connection, which resumes; also where the old one was refused. */
  rename(name) {
    if (name === this.#options.name) return;
    this.#options.name = name;
    this.#shell.call(({ link }) => link.handleAddressChanged());
  }

  /** The machine woke up: find out now whether the connection still lives. */
  wake() {
    this.#shell.call(({ link }) => link.handleWake());
  }

  /** The browser says whether there is a network: believed at once, and proved wrong by what comes nevertheless. */
  network(online) {
    this.#shell.call(({ link }) => link.handleNetwork(online));
  }

  /**
   * Enters a room and stays in it over reconnects: from the position `after` {epoch, seq}, as `position` gave it, or with
   * the `history` newest messages.
   */
  join(name, { history = 50, after = null } = {}) {
    this.#shell.call((session) => session.handleJoin(name, { history, after }));
  }

  /** Leaves a room and forgets its position and its unacknowledged publishes. */
  leave(name) {
    this.#shell.call((session) => session.handleLeave(name));
  }

  /** Says something durable, now or when the connection is back. The id, or null when too much is waiting already. */
  publish(name, body) {
    const [id, text] = [randomId(this.#options.crypto), JSON.stringify(body)];
    if (text === undefined) throw new TypeError('a body is a JSON value');
    return this.#shell.callQuietly((session) => session.handlePublish(name, id, text)) ? id : null;
  }

  /**
   * Says something in passing to the others in the room: now or not at all, and nothing tells whether it arrived. A newer
   * value of a `key` replaces the older one.
   */
  signal(name, body, key) {
    const text = JSON.stringify(body);
    if (text === undefined) throw new TypeError('a body is a JSON value');
    this.#shell.call((session) => session.handleSignal(name, text, key));
  }

  /** Sends a failed publish again, under its id: if the first one was logged after all, this is no second message. */
  retry(name, id) {
    this.#shell.call((session) => session.handleRetry(name, id));
  }

  /** Gives up a failed publish. */
  discard(name, id) {
    this.#shell.call((session) => session.handleDiscard(name, id));
  }

  /** The publishes without an acknowledgement, oldest first: `queued`, `sent` or `failed`. */
  pending(name) {
    return this.#session.pending(name);
  }

  /** The position of the last message seen in a room; null before the first `joined`, unless the join named one. */
  position(name) {
    return this.#session.position(name);
  }

  /**
   * Reads back: {messages, more}. `range` is {before} or {after}, exclusive. Rejects when the connection is lost, or with
   * the server's `code` and `retry`.
   */
  history(name, range, limit = 50) {
    return new Promise((resolve, reject) => {
      const asked = this.#shell.call((session) => session.handleHistory(name, range, limit, { resolve, reject }));
      if (!asked) reject(new Error('not connected'));
    });
  }
}
