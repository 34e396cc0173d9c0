// What a client keeps of one room, from `join` to `leave`: its position, and how far the replay has come. Pure: frames
// come in, and the session decides what is sent and told.

import { Publishes } from './publishes.js';

export class Room {
  /** `apart` (not asked for on this connection), `joining`, `replaying` or `live`. */
  phase = 'apart';
  /** Left for good: nothing is told of it any more, although a new join may have the same name. */
  left = false;
  joinRef = null;
  joinTries = 0;
  /** {code, message} of a join that was refused for good, until the room is asked for again. */
  refusal = null;
  publishes = new Publishes();

  #history;
  #epoch = '';
  #next = null; // the number of the next message, when it is known
  #target = null; // where the replay ends
  #resetFollows = false;

  /** `after`: the position to go on from; without it the newest `history` messages come first. */
  constructor(name, { history = 50, after = null } = {}) {
    this.name = name;
    this.#history = history;
    this.position = after && { epoch: after.epoch, seq: after.seq };
  }

  get isIn() {
    return this.phase === 'replaying' || this.phase === 'live';
  }

  /** The frame that asks for this room, now under `ref`. */
  join(ref) {
    this.phase = 'joining';
    this.refusal = null;
    this.joinRef = ref;
    const history = this.#history > 0 ? { history: this.#history } : {};
    return { type: 'join', room: this.name, ...(this.position ? { after: this.position } : history), ref };
  }

  /** False: an answer to another join. */
  handleJoined({ position, recovered, replayed, ref }) {
    if (this.phase !== 'joining' || this.joinRef !== ref) return false;
    this.joinTries = 0;
    this.#next = this.position && recovered ? this.position.seq + 1 : null;
    this.#epoch = position.epoch;
    this.#target = position;
    this.phase = 'replaying';
    // Until the reset that follows, the old position stays: if the connection ends before it, the next join is told again.
    this.#resetFollows = !recovered;
    if (replayed === 0 && recovered) this.#goOnFrom(position);
    return true;
  }

  handleReset(position) {
    this.#resetFollows = false;
    this.#epoch = position.epoch;
    this.#goOnFrom(position);
  }

  /** `next`, `repeat`, or `hole`, which the protocol excludes: resuming from the position asks for what is missing. */
  handleMessage({ seq }) {
    if (this.#next !== null && seq !== this.#next) return seq < this.#next ? 'repeat' : 'hole';
    this.#goOnFrom({ epoch: this.#epoch, seq });
    return 'next';
  }

  /** Whether the replay has just ended: at the position that `joined` named, or when a `reset` has led past it. */
  endsReplay() {
    const { position } = this;
    if (this.phase !== 'replaying' || this.#resetFollows || position?.epoch !== this.#epoch) return false;
    if (position.epoch === this.#target.epoch && position.seq < this.#target.seq) return false;
    this.phase = 'live';
    return true;
  }

  handleRefused(refusal) {
    this.phase = 'apart';
    this.refusal = refusal;
  }

  /** The connection is gone; position and publishes stay. */
  handleLost() {
    this.phase = 'apart';
    this.refusal = null;
    this.publishes.requeue();
  }

  #goOnFrom(position) {
    this.position = position;
    this.#next = position.seq + 1;
  }
}
