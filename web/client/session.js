// The conversation with the service: frames and calls come in, frames and events go out, one effect after the other from
// `poll`. Pure: it has no socket, no timer and no clock. Whatever a listener does while an event is told, the next effect
// follows from the state as it is then.

import { backoffDelay } from './backoff.js';
import { Link } from './link.js';
import { Publishing } from './publishing.js';
import { byteLength } from './publishes.js';
import { Room } from './room.js';
import { Work } from './work.js';

const REQUEST_MS = 15_000;
/** The server's default, until `welcome` names the real one; in bytes of JSON text. */
const DEFAULT_MAX_BODY = 16 * 1024;

export class Session {
  user = null;
  node = null;
  maxBody = DEFAULT_MAX_BODY;
  /** The connection's life: its calls and what happens to it. */
  link;

  #random;
  #work = new Work();
  #publishing;
  #rooms = new Map();
  #requests = new Map();
  #nextRef = 1;

  /** `now` gives ms; `address` the URL for the next connection; `canProbe`: the shell can find out whether the node answers. */
  constructor({ random, now, address, canProbe }) {
    this.#random = random;
    const work = this.#work;
    this.#publishing = new Publishing({ work, random, rejoin: (room) => this.#sendJoin(room) });
    const ping = () => this.#send({ type: 'ping', ref: this.#nextRef++ });
    this.link = new Link({ work, random, now, address, canProbe, ping, onLost: () => this.#onLost() });
  }

  /**
   * The next thing to do, or null: `open`, `drop`, `send`, `probe`, `arm`, `disarm`, `answer`, `tell`. While `quiet`, no
   * publish fails.
   */
  poll(quiet) {
    for (;;) {
      const effect = this.#work.poll(this.link.connection);
      if (effect || !this.#publishing.sendNext(this.maxBody, quiet)) return effect;
    }
  }

  handleTimer(timer) {
    this.#work.expire(timer);
  }

  // --- calls ----------------------------------------------------------------------------------------------------

  handleJoin(name, options) {
    if (this.#rooms.has(name)) return;
    const room = new Room(name, options);
    this.#rooms.set(name, room);
    if (this.link.isOpen) this.#sendJoin(room);
  }

  handleLeave(name) {
    const room = this.#rooms.get(name);
    if (!room) return;
    this.#rooms.delete(name);
    room.left = true;
    this.#quieten(room);
    if (room.phase !== 'apart') this.#send({ type: 'leave', room: name });
  }

  /** False when the room is not joined, or too much waits already. */
  handlePublish(name, id, text) {
    const room = this.#rooms.get(name);
    return room !== undefined && this.#publishing.handlePublish(room, id, text);
  }

  handleRetry(name, id) {
    const room = this.#rooms.get(name);
    if (room) this.#publishing.handleRetry(room, id);
  }

  handleDiscard(name, id) {
    const room = this.#rooms.get(name);
    if (room) this.#publishing.handleDiscard(room, id);
  }

  handleSignal(name, text, key) {
    if (byteLength(text) > this.maxBody || !this.#rooms.get(name)?.isIn) return;
    const head = JSON.stringify({ type: 'signal', room: name, key }).slice(0, -1);
    this.#work.command({ do: 'send', text: `${head},"body":${text}}` });
  }

  /** `request` comes back in an `answer`. False without a connection. */
  handleHistory(name, range, limit, request) {
    if (!this.link.isOpen) return false;
    const ref = this.#nextRef++;
    this.#requests.set(ref, request);
    this.#send({ type: 'history', room: name, ...range, limit, ref });
    this.#work.arm(`request ${ref}`, REQUEST_MS, () => this.#answer(ref, { error: new Error('no answer') }));
    return true;
  }

  /** A room's publishes that are not acknowledged. */
  pending(name) {
    return this.#rooms.get(name)?.publishes.list() ?? [];
  }

  position(name) {
    return this.#rooms.get(name)?.position ?? null;
  }

  // --- frames ---------------------------------------------------------------------------------------------------

  handleOpened() {
    this.link.handleOpened();
    for (const room of this.#rooms.values()) this.#sendJoin(room);
  }

  handleText(text) {
    this.link.handleHeard();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    const room = this.#rooms.get(frame?.room);
    switch (frame?.type) {
      case 'welcome': return this.#onWelcome(frame);
      case 'joined': return room && this.#onJoined(room, frame);
      case 'reset': return room?.isIn && this.#onReset(room, frame);
      case 'message': return room?.isIn && this.#onMessage(room, frame);
      case 'signal': return room?.isIn && this.#work.tell('signal', frame, room);
      case 'ack': return room && this.#publishing.handleDurable(room, frame);
      case 'history': return this.#onHistory(room, frame);
      case 'pong': return this.link.handlePong();
      case 'draining': return this.#work.tell('draining', { within_ms: frame.within_ms });
      case 'error': return this.#onError(room, frame);
      default: // a newer server's frame
    }
  }

  #onWelcome({ user, node, max_body: maxBody, heartbeat_ms: heartbeat }) {
    Object.assign(this, { user, node, maxBody });
    this.link.handleWelcome(heartbeat);
  }

  #onJoined(room, frame) {
    if (!room.handleJoined(frame)) return;
    const { position, recovered, replayed } = frame;
    this.#work.tell('joined', { room: room.name, position, recovered, replayed }, room);
    this.#then(room, () => this.#endReplay(room));
  }

  #onReset(room, { position }) {
    room.handleReset(position);
    this.#work.tell('reset', { room: room.name, position }, room);
    this.#then(room, () => this.#endReplay(room));
  }

  #onMessage(room, message) {
    const place = room.handleMessage(message);
    if (place === 'hole') this.link.abandon('messages out of order');
    if (place !== 'next') return;
    this.#work.tell('message', { room: room.name, message }, room);
    this.#onSeen(room, message);
    this.#then(room, () => this.#endReplay(room));
  }

  /** An own message stands for its `ack`, which is told behind it. */
  #onSeen(room, message) {
    if (message.from !== this.user) return;
    room.publishes.seen(message.id, message.seq);
    this.#then(room, () => this.#publishing.handleDurable(room, message));
  }

  #endReplay(room) {
    if (!room.endsReplay()) return;
    this.#publishing.consider(room);
    this.#work.tellNext('live', { room: room.name }, room);
  }

  #onHistory(room, { messages, more, ref }) {
    for (const message of room ? messages : []) this.#onSeen(room, message);
    this.#answer(ref, { value: { messages, more } });
  }

  /** An error is of a publish, a request or a join. Of what was given up meanwhile it is no news. */
  #onError(room, frame) {
    const { code, message, room: name, id, ref } = frame;
    const retry = frame.retry === true;
    if (room?.publishes.isSent(id)) return this.#publishing.handleRefused(room, frame);
    if (name !== undefined && id !== undefined) return; // of a publish, too, but nothing waits for it
    if (this.#answer(ref, { error: Object.assign(new Error(message), { code, retry }) })) return;
    const joining = [...this.#rooms.values()].find((one) => one.phase === 'joining' && one.joinRef === ref);
    if (joining) return this.#onJoinRefused(joining, code, message, retry);
    const overtaken = Number.isInteger(ref) && ref > 0 && ref < this.#nextRef;
    if (overtaken || code === 'superseded' || (name !== undefined && !room?.isIn)) return;
    this.#work.tell('error', { code, message, retry, room: name }, room);
  }

  #onJoinRefused(room, code, message, retry) {
    room.handleRefused(retry ? null : { code, message });
    if (!retry) {
      this.#work.tell('refused', { room: room.name, code, message }, room);
      return this.#publishing.consider(room);
    }
    const delay = backoffDelay(room.joinTries++, this.#random);
    this.#work.arm(`join ${room.name}`, delay, () => this.link.isOpen && this.#sendJoin(room));
  }

  // --- what is sent ---------------------------------------------------------------------------------------------

  #sendJoin(room) {
    this.#send(room.join(this.#nextRef++));
  }

  #send(frame) {
    this.#work.command({ do: 'send', text: JSON.stringify(frame) });
  }

  #then(room, run) {
    this.#work.then(this.link.connection, room, run);
  }

  #answer(ref, answer) {
    const request = this.#requests.get(ref);
    if (!request) return false;
    this.#requests.delete(ref);
    this.#work.disarm(`request ${ref}`);
    this.#work.command({ do: 'answer', request, ...answer });
    return true;
  }

  /** Nothing more goes out of a room by itself. */
  #quieten(room) {
    this.#publishing.pause(room);
    this.#work.disarm(`hold ${room.name}`);
    this.#work.disarm(`join ${room.name}`);
  }

  #onLost() {
    for (const ref of [...this.#requests.keys()]) this.#answer(ref, { error: new Error('connection lost') });
    for (const room of this.#rooms.values()) {
      this.#quieten(room);
      room.handleLost();
    }
  }
}
