// Names of people: how one's own is cleaned, how others' are shown, and who is told apart from whom. Names are other
// people's text, and two people may take the same.

/** Characters of a name as the protocol counts them. */
const LENGTH = 64;
/** People kept in mind; the first ones go first. */
const PEOPLE = 2_000;
/** Marks that stand on one character; more would be drawn over the rows above. */
const MARKS = /(\p{M}{2})\p{M}+/gu;
/** Controls of direction, which would turn the line around, and characters that show nothing by themselves. */
const UNSEEN = /[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\u2800\u3164\uFEFF\uFFA0]/gu;
/** Joiners, tags and variation selectors: they belong into emoji, and are no name by themselves. */
const JOINERS = /[\u200C\u200D\uFE00-\uFE0F\u{E0000}-\u{E0FFF}]/gu;

const tidy = (name) => name.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').replace(UNSEEN, '').replace(/\s+/gu, ' ').trim();
const isSeen = (name) => name.replace(JOINERS, '').replace(/\p{M}+/gu, '').trim() !== '';

/** What the user may call themselves: visible characters, as many as the protocol allows; empty when nothing is left. */
export function cleanName(name) {
  const cut = [...tidy(name).replace(MARKS, '$1')].slice(0, LENGTH).join('').trim();
  return isSeen(cut) ? cut : '';
}

/** What is shown for a name, whatever it is made of. */
export const shownName = (name) => cleanName(typeof name === 'string' ? name : '') || 'Nameless';

/** Names that look the same are the same. */
export const foldName = (name) => shownName(name).normalize('NFKC').replace(JOINERS, '').toLowerCase().replace(/\s/gu, '');

/** Tells people of one name apart: the first one keeps it, the others get a tag from what the service calls them. */
export class NameBook {
  #owners = new Map(); // folded name → user
  #own = new Set();

  /** The names that are the user's own here, `You` among them: nobody else has them without a tag. */
  setOwn(name) {
    this.#own = new Set(['You', name].map(foldName));
  }

  /** {name, tag}: what to show for a user who is not this one; the tag is empty for the first of a name. */
  labelOf(user, name) {
    const [shown, folded] = [shownName(name), foldName(name)];
    if (!this.#owners.has(folded)) {
      if (this.#owners.size >= PEOPLE) this.#owners.delete(this.#owners.keys().next().value);
      this.#owners.set(folded, user);
    }
    const taken = this.#own.has(folded) || this.#owners.get(folded) !== user;
    return { name: shown, tag: taken ? [...user].slice(-4).join('') : '' };
  }
}
