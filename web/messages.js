// The list of messages: rows, their headings and day lines, the gaps between them, and the publishes that are still
// on their way. It knows nothing of connections. Whatever comes from other people enters the document as text.

/** Messages on the page; the oldest go first. */
export const MAX_ROWS = 1_000;

/** Rows above the limit that may wait for the next `trim`. */
const SLACK = 500;
/** Consecutive messages of one person within this time share a heading. */
const GROUP_MS = 5 * 60_000;
const HUES = 12;
const EMOJI = String.raw`\p{Extended_Pictographic}[\uFE0F\u{1F3FB}-\u{1F3FF}]*`;
/** Up to three emoji and nothing else. */
const EMOJI_ONLY = new RegExp(`^(?:${EMOJI}(?:\\u200D${EMOJI})*\\s*){1,3}$`, 'u');

const segmenter = Intl.Segmenter ? new Intl.Segmenter() : null;
const clockOf = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayOf = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const fullOf = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

export function element(tag, className = '', content = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = content;
  return node;
}

/** What stands for a name in a circle: its first character as people count characters. */
export function initialOf(name) {
  const [first] = segmenter ? segmenter.segment(name.trim()) : [...name.trim()].map((segment) => ({ segment }));
  return (first?.segment ?? '?').toUpperCase();
}

/** The same colour for the same user, on every page (FNV-1a). */
export function hueOf(user) {
  let hash = 0x811c9dc5;
  for (const char of user) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return (hash >>> 0) % HUES;
}

function button(label, action) {
  const node = element('button', 'link', label);
  node.type = 'button';
  node.addEventListener('click', action);
  return node;
}

const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

function dayLabel(at) {
  if (sameDay(at, Date.now())) return 'Today';
  const yesterday = new Date();
  yesterday.setDate(yesterday.getDate() - 1);
  return sameDay(at, yesterday) ? 'Yesterday' : dayOf.format(at);
}

/** When, and the message's number once the server has given one. */
function makeMeta({ at, seq }) {
  const meta = element('span', 'meta');
  const time = element('time', '', clockOf.format(at));
  time.dateTime = new Date(at).toISOString();
  time.title = fullOf.format(at);
  meta.append(time);
  if (seq) meta.append(element('span', 'seq', `#${seq}`));
  return meta;
}

/** `who` compares users: the own ones are one, whatever the server calls them. */
function makeRow({ seq, id, from, name, at, body }, own, epoch) {
  const row = element('li', own ? 'row own' : 'row');
  row.message = { seq, id, at, epoch, who: own ? 'me' : from };
  const isText = typeof body?.text === 'string' && body.text.trim() !== '';
  const avatar = element('span', `avatar hue-${hueOf(from)}`, initialOf(name));
  avatar.setAttribute('aria-hidden', 'true');
  const bubble = element('div', 'bubble');
  const said = element(isText ? 'span' : 'code', 'said', isText ? body.text : JSON.stringify(body));
  said.dir = 'auto';
  if (isText && EMOJI_ONLY.test(body.text)) bubble.classList.add('jumbo');
  bubble.append(said, makeMeta({ at, seq }));
  const content = element('div', 'content');
  content.append(element('span', `who hue-${hueOf(from)}`, own ? 'You' : name), bubble);
  row.append(avatar, content);
  return row;
}

/** The messages of one room, in `log`, and the own ones that are not in it yet, in `outbox` below it. */
export class MessageList {
  #log;
  #outbox;
  #scroller;
  #own = new Map(); // publish id → row in the outbox

  /** Whether the view stays at the end as messages come. */
  follow = true;

  constructor({ log, outbox, scroller }) {
    this.#log = log;
    this.#outbox = outbox;
    this.#scroller = scroller;
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
    const row = makeRow(message, own, epoch);
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
    const made = fresh.map((message) => makeRow(message, isOwn(message), epoch));
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
