// Names of people: how one's own is cleaned, how others' are shown, and who is told apart from whom. Names are other
// people's text, and two people may take the same.

/** Characters of a name as the protocol counts them. */
const LENGTH = 64;
/** People kept in mind; those who have been silent longest go first. */
const PEOPLE = 2_000;

// What the server takes out of a name, by the same lists (crates/protocol/src/names/display.rs).

/** Marks on one character, of those that go onto letters of any script. */
const GENERAL_MARKS = 2;
/** Marks on one character in all. */
const ALL_MARKS = 4;
const MARK = /[\p{Mn}\p{Me}]/u;
const GENERAL_MARK = /[\u0300-\u036F\u0483-\u0489\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF\uFE20-\uFE2F]/u;
const JOINER = /[\u200C\u200D]/u;
const SELECTOR = /[\u180B-\u180D\u180F\uFE00-\uFE0F\u{E0100}-\u{E01EF}]/u;
/** The tags of flags, and what one of them may follow. */
const TAG = /[\u{E0020}-\u{E007F}]/u;
const TAGGED = /[\u{1F3F4}\u{E0020}-\u{E007E}]/u;
const VOID = new RegExp(
  '[\\u00AD\\u034F\\u061C\\u17B4\\u17B5\\u180E\\u200B\\u200E\\u200F\\u202A-\\u202E\\u2060-\\u206F\\uFEFF\\uFFF0-\\uFFFB'
  + '\\u{1BCA0}-\\u{1BCA3}\\u{1D173}-\\u{1D17A}\\u{E0000}-\\u{E0FFF}]', 'u');
/** Characters that stay and show nothing: fillers of Hangul, the empty Braille cell, white space. */
const EMPTY = /[\u115F\u1160\u3164\uFFA0\u2800\p{White_Space}]/u;
/** What no name begins or ends with; at its beginning a selector has nothing to select. */
const ENDS = /^[\s\u200C\u200D\u180B-\u180D\u180F\uFE00-\uFE0F\u{E0100}-\u{E01EF}]+|[\s\u200C\u200D]+$/gu;

/** A name in the making: takes one character after the other. */
class Cleaned {
  text = '';
  isSeen = false;
  #last = '';
  #marks = { all: 0, general: 0 };

  push(c) {
    if (!this.#stays(c)) return;
    this.text += c;
    this.#last = c;
  }

  #stays(c) {
    if (JOINER.test(c)) return this.#last !== '' && !JOINER.test(this.#last) && !/\s/u.test(this.#last);
    if (SELECTOR.test(c)) return this.#last !== '' && !SELECTOR.test(this.#last) && !JOINER.test(this.#last);
    if (TAG.test(c)) return TAGGED.test(this.#last);
    if (VOID.test(c)) return false;
    if (MARK.test(c)) return this.#takesMark(c);
    this.#marks = { all: 0, general: 0 };
    this.isSeen ||= !EMPTY.test(c);
    return true;
  }

  #takesMark(c) {
    const isGeneral = GENERAL_MARK.test(c);
    this.#marks.all += 1;
    if (isGeneral) this.#marks.general += 1;
    return this.#marks.all <= ALL_MARKS && (!isGeneral || this.#marks.general <= GENERAL_MARKS);
  }
}

/** What the user may call themselves: visible characters, as many as the protocol allows; empty when nothing is left. */
export function cleanName(name) {
  const cleaned = new Cleaned();
  for (const c of name.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')) cleaned.push(c);
  if (!cleaned.isSeen) return '';
  const text = cleaned.text.replace(/\s+/gu, ' ').replace(ENDS, '');
  return [...text].slice(0, LENGTH).join('').replace(ENDS, '');
}

/** What is shown for a name, whatever it is made of. */
export const shownName = (name) => cleanName(typeof name === 'string' ? name : '') || 'Nameless';

/** Names that look the same are the same. */
export function foldName(name) {
  const isSeen = (c) => ![EMPTY, JOINER, SELECTOR, TAG].some((kind) => kind.test(c));
  return [...shownName(name).normalize('NFKC')].filter(isSeen).join('').toLowerCase();
}

/** Tells people of one name apart: the first one keeps it, the others get a tag from what the service calls them. */
export class NameBook {
  #owners = new Map(); // folded name → user; those that were used last are at the end
  #own = new Set();

  /** The names that are the user's own here, `You` among them: nobody else has them without a tag. */
  setOwn(name) {
    this.#own = new Set(['You', name].map(foldName));
  }

  /** {name, tag}: what to show for the user of a message, who is not this one; the first user of a name has no tag. */
  labelOf(user, name) {
    const folded = foldName(name);
    const owner = this.#owners.get(folded) ?? user;
    this.#owners.delete(folded);
    if (this.#owners.size >= PEOPLE) this.#owners.delete(this.#owners.keys().next().value);
    this.#owners.set(folded, owner);
    return this.lookUp(user, name);
  }

  /** The same without a claim to the name: for what is said in passing. */
  lookUp(user, name) {
    const folded = foldName(name);
    const taken = this.#own.has(folded) || (this.#owners.get(folded) ?? user) !== user;
    return { name: shownName(name), tag: taken ? [...user].slice(-4).join('') : '' };
  }
}
