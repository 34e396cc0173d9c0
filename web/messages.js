// The list of messages: rows, their headings and day lines, the gaps between them, and the publishes that are still
// on their way. It knows nothing of connections.

import { button, element, makeMeta, makeRow } from './rows.js';

export { element, hueOf, initialOf } from './rows.js';

/** Messages on the page; the oldest go first. */
export const MAX_ROWS = 1_000;

/** Rows above the limit that may wait for the next `trim`. */
const SLACK = 500;
/** Consecutive messages of one person within this time share a heading. */
const GROUP_MS = 5 * 60_000;

const dayOf = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

function dayLabel(at) {
  if (sameDay(at, Date.now())) return 'Today';
  const yesterday = new Date();
  yesterday.setDate(yesterday.getDate() - 1);
  return sameDay(at, yesterday) ? 'Yesterday' : dayOf.format(at);
}

/** The messages of one room, in `log`, and the own ones that are not in it yet, in `outbox` below it. */
export class MessageList {
  #log;
  #outbox;
  #scroller;
  #labelOf;
  #own = new Map(); // publish id → row in the outbox

  /** Whether the view stays at the end as messages come. */
  follow = true;

  /** `labelOf` gives {name, tag} for a user and a name. */
  constructor({ log, outbox, scroller, labelOf }) {
    this.#log = log;
    this.#outbox = outbox;
    this.#scroller = scroller;
    this.#labelOf = labelOf;
  }

  /** The oldest message shown: {seq, epoch, …}. */
  get first() {
    return this.#log.querySelector('.row')?.message;
  }

  get last() {
    return [...this.#log.querySelectorAll('.row')].at(-1)?.message;
  }

  get isFull() {
    return this.#log.childElementCount >= MAX_ROWS;
  }

  get isEmpty() {
    return !this.#log.firstElementChild && !this.#outbox.firstElementChild;
  }

  clear() {
    this.#log.replaceChildren();
    this.#outbox.replaceChildren();
    this.#own.clear();
    this.follow = true;
  }

  /** The next message of the room, for `trim` to follow soon. An own one takes the place of its row in the outbox. */
  append(message, own, epoch) {
    if (own) this.drop(message.id);
    const row = makeRow(message, own, epoch, this.#labelOf);
    this.#log.append(row);
    this.#dress(row);
    this.#dress(this.#outbox.firstElementChild);
    if (this.#log.childElementCount > MAX_ROWS + SLACK) this.trim();
  }

  /** Lets go of the oldest rows above the limit. Measures the page, so not for every message. */
  trim() {
    const log = this.#log;
    if (log.childElementCount <= MAX_ROWS) return;
    this.#holding(() => {
      while (log.childElementCount > MAX_ROWS || log.firstElementChild.matches('.gap')) log.firstElementChild.remove();
      this.#dress(log.firstElementChild);
    });
  }

  /** Messages of the past, put before the oldest row. */
  prepend(messages, isOwn, epoch) {
    this.#insert(this.#log.querySelector('.row'), messages, isOwn, epoch);
  }

  /** Marks that messages may be missing after the newest row; gives a handle for `fill`. */
  appendGap(label) {
    const gap = element('li', 'gap', label);
    this.#log.append(gap);
    return gap;
  }

  /** Messages of the past, put after a gap (without one: first). The gap goes when `closed`. */
  fill(gap, messages, isOwn, epoch, closed) {
    this.#insert(gap ? gap.nextElementSibling : this.#log.firstElementChild, messages, isOwn, epoch);
    if (closed && gap) {
      const after = gap.nextElementSibling;
      gap.remove();
      this.#dress(after);
    }
  }

  /** An own publish, before anybody else has it. */
  addPending(message) {
    const row = makeRow({ ...message, from: 'me' }, true);
    row.classList.add('pending');
    this.#own.set(message.id, row);
    this.#outbox.append(row);
    this.#dress(row);
  }

  /** A pending publish is durable. The message itself comes in its turn. */
  acknowledge(id, seq) {
    const row = this.#own.get(id);
    if (!row) return;
    row.message.seq = seq;
    row.classList.remove('pending', 'failed');
    row.querySelector('.trouble')?.remove();
    row.querySelector('.meta').replaceWith(makeMeta(row.message));
  }

  /** A pending publish has failed; `retry` (when it makes sense) and `discard` become its buttons. */
  fail(id, why, { retry, discard }) {
    const row = this.#own.get(id);
    if (!row) return;
    row.classList.add('failed');
    row.querySelector('.trouble')?.remove();
    const trouble = element('p', 'trouble', why);
    const mended = () => {
      row.classList.remove('failed');
      trouble.remove();
      retry();
    };
    if (retry) trouble.append(button('Retry', mended));
    trouble.append(button('Discard', discard));
    row.querySelector('.content').append(trouble);
  }

  /** Takes an own publish out of the outbox. */
  drop(id) {
    this.#own.get(id)?.remove();
    this.#own.delete(id);
  }

  /** Takes out what was acknowledged up to `seq`: a reset has passed it, so its message will not come live. */
  dropAcknowledged(seq) {
    for (const [id, { message }] of this.#own) if (message.seq && message.seq <= seq) this.drop(id);
  }

  #insert(anchor, messages, isOwn, epoch) {
    const shown = Array.from(this.#log.querySelectorAll('.row'), ({ message }) => `${message.seq} ${message.id}`);
    const known = new Set(shown);
    const fresh = messages.filter(({ seq, id }) => !known.has(`${seq} ${id}`));
    const made = fresh.map((message) => makeRow(message, isOwn(message), epoch, this.#labelOf));
    this.#holding(() => {
      if (anchor) anchor.before(...made);
      else this.#log.append(...made);
      made.forEach((row) => this.#dress(row));
      this.#dress(anchor);
    });
  }

  /** Changes what is above without moving what is being read. */
  #holding(change) {
    if (this.follow) return change();
    const height = this.#scroller.scrollHeight;
    change();
    this.#scroller.scrollTop += this.#scroller.scrollHeight - height;
  }

  /** Heading and day line depend on the row before. */
  #dress(row) {
    if (!row?.message) return;
    const inOutbox = row.parentElement === this.#outbox;
    const previous = row.previousElementSibling ?? (inOutbox ? this.#log.lastElementChild : null);
    const gap = previous?.matches('.gap');
    const before = (gap ? previous.previousElementSibling : previous)?.message;
    const near = !gap && before?.who === row.message.who && Math.abs(row.message.at - before.at) < GROUP_MS;
    const newDay = !before || !sameDay(before.at, row.message.at);
    row.classList.toggle('first', !near || newDay);
    row.querySelector('.day')?.remove();
    if (newDay) row.prepend(element('p', 'day', dayLabel(row.message.at)));
  }
}
