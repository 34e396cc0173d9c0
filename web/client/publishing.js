// The publishes of all rooms, on their way out: which one is sent next, and what their answers mean. Pure.

import { backoffDelay } from './backoff.js';

export class Publishing {
  #work;
  #random;
  #rejoin;
  #eager = new Set(); // rooms that may have a publish to send

  /** `rejoin` asks for a room again in which this session is not. */
  constructor({ work, random, rejoin }) {
    [this.#work, this.#random, this.#rejoin] = [work, random, rejoin];
  }

  /** A room's publishes may go on. */
  consider(room) {
    this.#eager.add(room);
  }

  /** Nothing of a room goes out until it is considered again. */
  pause(room) {
    this.#eager.delete(room);
  }

  /**
   * Has the next publish sent. Only in a room whose replay is over: that may acknowledge some. In a room that is refused it
   * fails. False: there is none.
   */
  sendNext(maxBody, quiet) {
    const [room] = this.#eager;
    if (!room) return false;
    const next = this.#take(room, maxBody, quiet);
    if (!next) {
      if (quiet) return false;
      this.#eager.delete(room);
    } else if (room.refusal) {
      this.#fail(room, next.id, room.refusal.code, room.refusal.message);
    } else if (next.seq) {
      this.handleDurable(room, next);
    } else if (next.tooLarge) {
      this.#fail(room, next.id, 'too_large', `longer than ${maxBody} bytes`);
    } else {
      const [name, id] = [JSON.stringify(room.name), JSON.stringify(next.id)];
      this.#work.command({ do: 'send', text: `{"type":"publish","room":${name},"id":${id},"body":${next.text}}` });
    }
    return true;
  }

  #take(room, maxBody, quiet) {
    if (room.refusal) return room.publishes.takeRefused(quiet);
    return room.phase === 'live' ? room.publishes.take(maxBody, quiet) : null;
  }

  /** False when too much waits already. */
  handlePublish(room, id, text) {
    if (room.publishes.isFull) return false;
    room.publishes.add(id, text);
    this.consider(room);
    return true;
  }

  /** In a room that is refused, the room is asked for again. */
  handleRetry(room, id) {
    if (!room.publishes.retry(id)) return;
    if (room.refusal) this.#rejoin(room);
    this.#changed(room);
  }

  handleDiscard(room, id) {
    if (room.publishes.remove(id)) this.#changed(room);
  }

  /** A publish is durable: its `ack`, or the message itself, says so. Never moves the position. */
  handleDurable(room, { id, seq }) {
    if (!room.publishes.remove(id)) return;
    this.consider(room);
    this.#work.tellNext('ack', { room: room.name, id, seq }, room);
  }

  /** The server refused a publish. A code that this client does not know means what its `retry` says. */
  handleRefused(room, { id, code, message, retry }) {
    const absent = code === 'not_joined';
    const tries = room.publishes.refused(id, retry === true || absent);
    this.consider(room);
    if (tries === null) return this.#fail(room, id, code, message);
    if (absent && room.phase === 'live') this.#rejoin(room);
    room.publishes.held = true;
    this.#work.arm(`hold ${room.name}`, backoffDelay(tries, this.#random), () => {
      room.publishes.held = false;
      this.consider(room);
    });
  }

  #fail(room, id, code, message) {
    this.#work.tell('failed', { room: room.name, id, code, message }, room);
  }

  #changed(room) {
    this.consider(room);
    this.#work.tell('pending', { room: room.name }, room);
  }
}
