// The publishes of one room that are not acknowledged, oldest first. Pure: it sends nothing itself.

/** Publishes on the wire at once; the others wait their turn, in order. */
const IN_FLIGHT = 16;
/** Publishes kept; more are refused, so that an offline page cannot grow without bound. */
const MAX_PENDING = 500;
/** Answers "try later" that one publish takes before it is given back as failed. */
const MAX_TRIES = 8;

/** The length of a text as UTF-8. */
export const byteLength = (text) => new TextEncoder().encode(text).length;

export class Publishes {
  #entries = new Map();

  /** Those behind a publish that is to be tried later wait too: order is worth more than a few hundred milliseconds. */
  held = false;

  get isFull() {
    return this.#entries.size >= MAX_PENDING;
  }

  isSent(id) {
    return this.#entries.get(id)?.state === 'sent';
  }

  /** The text is fixed once: what is sent again is the same to the byte. */
  add(id, text) {
    this.#entries.set(id, { id, text, state: 'queued', tries: 0 });
  }

  /** A publish was seen in the log: it is not sent again, although its acknowledgement may have to wait. */
  seen(id, seq) {
    const entry = this.#entries.get(id);
    if (entry) Object.assign(entry, { state: 'durable', seq });
  }

  /** Forgets a publish, because it is acknowledged or given up; false when there was none. */
  remove(id) {
    return this.#entries.delete(id);
  }

  /**
   * A publish whose acknowledgement has waited (`seq`); else the oldest that may go on the wire now: it counts as sent, or as
   * failed when it is longer than `maxBody`. While `quiet` none fails: one that would keeps its place.
   */
  take(maxBody, quiet) {
    let inFlight = 0;
    for (const { id, seq, state } of this.#entries.values()) {
      if (state === 'durable' && !quiet) return { id, seq };
      if (state === 'sent') inFlight += 1;
    }
    if (this.held || inFlight >= IN_FLIGHT) return null;
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'queued') continue;
      const tooLarge = byteLength(entry.text) > maxBody;
      if (tooLarge && quiet) return null;
      entry.state = tooLarge ? 'failed' : 'sent';
      return { id: entry.id, text: entry.text, tooLarge };
    }
    return null;
  }

  /** The oldest that waits for a room that is refused: it counts as failed. While `quiet` none fails. */
  takeRefused(quiet) {
    const next = quiet ? null : [...this.#entries.values()].find(({ state }) => state === 'queued');
    return next ? Object.assign(next, { state: 'failed' }) : null;
  }

  /** The server refused a publish; with `again` it may be tried later. The number of tries so far, or null: it failed. */
  refused(id, again) {
    const entry = this.#entries.get(id);
    entry.tries += 1;
    const goesOn = again && entry.tries < MAX_TRIES;
    entry.state = goesOn ? 'queued' : 'failed';
    return goesOn ? entry.tries : null;
  }

  /** A failed publish is to be sent again, under its id. */
  retry(id) {
    const entry = this.#entries.get(id);
    if (entry?.state !== 'failed') return false;
    Object.assign(entry, { state: 'queued', tries: 0 });
    return true;
  }

  /** The connection is lost: the outcome of what was sent is unknown. */
  requeue() {
    this.held = false;
    for (const entry of this.#entries.values()) if (entry.state === 'sent') entry.state = 'queued';
  }

  list() {
    return Array.from(this.#entries.values(), ({ id, state }) => ({ id, state: state === 'durable' ? 'sent' : state }));
  }
}
