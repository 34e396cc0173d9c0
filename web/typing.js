// Who is typing: what the own typing tells the others, and what theirs shows here. It knows neither the page nor the
// connection; the clock is an argument.

import { cleanName } from './names.js';

/** Own typing is told once in this time, in milliseconds. */
export const TELL_MS = 2_000;
/** Whoever has not been heard of for so long, in milliseconds, has stopped. */
export const FORGET_MS = 4_000;

/** Names that fit the line; more are "several people". */
const NAMES = 3;
/** People kept in mind; in a room where more are typing at once the line would say the same. */
const PEOPLE = 50;
const KEY_LENGTH = 64;

/** The key of a user's typing: each user has one value, and nobody else's signal counts as theirs. */
export const typingKey = (user) => [...`typing:${user}`].slice(0, KEY_LENGTH).join('');

/** Names stand in their own direction, whatever the sentence's is. */
const isolated = (name) => `\u2068${name}\u2069`;

function sentence(names) {
  if (names.length === 0) return '';
  if (names.length > NAMES) return 'Several people are typing…';
  const shown = names.map(isolated);
  const last = shown.pop();
  return shown.length ? `${shown.join(', ')} and ${last} are typing…` : `${last} is typing…`;
}

export class Typing {
  #tell;
  #show;
  #clock;
  #nameOf;
  #people = new Map(); // user → {name, timer}
  #told = false; // the others may still believe that something is being typed here
  #quiet = false; // told a moment ago: it need not be told again yet
  #due = false; // typing began again meanwhile, and the others believe that it has stopped

  /**
   * `tell` takes what the others are to know; `show` takes the line for the page, empty when nobody types; `nameOf` gives what
   * a user is called here, by the name that they give themselves.
   */
  constructor({ tell, show, clock = globalThis, nameOf = (user, name) => name }) {
    [this.#tell, this.#show, this.#clock, this.#nameOf] = [tell, show, clock, nameOf];
  }

  /** The own text has changed. */
  typed(text) {
    if (!text) return this.stopped();
    if (this.#quiet) this.#due = !this.#told;
    else this.#tellTyping();
  }

  /** The text was sent or taken back. Told at once: who comes into the room now need not hear of it. */
  stopped() {
    this.#due = false;
    if (!this.#told) return;
    this.#told = false;
    this.#tell({ typing: false });
  }

  /** A signal of somebody else. */
  heard({ from, key, body }) {
    if (key !== typingKey(from)) return;
    const name = body?.typing === true && typeof body.name === 'string' ? cleanName(body.name) : '';
    if (!name) return this.said(from);
    if (!this.#people.has(from) && this.#people.size >= PEOPLE) return;
    this.#clock.clearTimeout(this.#people.get(from)?.timer);
    const timer = this.#clock.setTimeout(() => this.said(from), FORGET_MS);
    this.#people.set(from, { name: this.#nameOf(from, name), timer });
    this.#refresh();
  }

  /** A message of this user has come, or they have stopped. */
  said(from) {
    const person = this.#people.get(from);
    if (!person) return;
    this.#clock.clearTimeout(person.timer);
    this.#people.delete(from);
    this.#refresh();
  }

  /** Another room: nobody of the former one counts. */
  clear() {
    for (const { timer } of this.#people.values()) this.#clock.clearTimeout(timer);
    this.#people.clear();
    this.#refresh();
  }

  #tellTyping() {
    [this.#told, this.#quiet, this.#due] = [true, true, false];
    this.#tell({ typing: true });
    this.#clock.setTimeout(() => {
      this.#quiet = false;
      if (this.#due) this.#tellTyping();
    }, TELL_MS);
  }

  #refresh() {
    this.#show(sentence(Array.from(this.#people.values(), ({ name }) => name)));
  }
}
