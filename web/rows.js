// One message as a row of the page. Whatever comes from other people enters the document as text.

import { pieces } from './links.js';
import { shownName } from './names.js';

const HUES = 12;
/** A text of more lines than this, or longer than that, is shown in part until somebody asks for all of it. */
const LINES = 15;
const LETTERS = 1_500;
const EMOJI = String.raw`\p{Extended_Pictographic}[\uFE0F\u{1F3FB}-\u{1F3FF}]*`;
/** Up to three emoji and nothing else. */
const EMOJI_ONLY = new RegExp(`^(?:${EMOJI}(?:\\u200D${EMOJI})*\\s*){1,3}$`, 'u');

const segmenter = Intl.Segmenter ? new Intl.Segmenter() : null;
const clockOf = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
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

export function button(label, action) {
  const node = element('button', 'link', label);
  node.type = 'button';
  node.addEventListener('click', action);
  return node;
}

/** Whether a text would take more of the page than one message should. */
export const isLong = (text) => text.length > LETTERS || text.split('\n', LINES + 1).length > LINES;

/** When, and the message's number once the server has given one. */
export function makeMeta({ at, seq }) {
  const meta = element('span', 'meta');
  const time = element('time', '', clockOf.format(at));
  time.dateTime = new Date(at).toISOString();
  time.title = fullOf.format(at);
  meta.append(time);
  if (seq) meta.append(element('span', 'seq', `#${seq}`));
  return meta;
}

/** More marks than this on a character are drawn over other rows; no script has as many. */
const PILE = /(\p{M}{8})\p{M}+/gu;

/** A text without piles of combining marks. */
export const withoutPiles = (text) => text.replace(PILE, '$1');

function makeSaid(body) {
  const isText = typeof body?.text === 'string' && body.text.trim() !== '';
  const said = element(isText ? 'span' : 'code', 'said');
  said.dir = 'auto';
  if (!isText) said.textContent = withoutPiles(JSON.stringify(body));
  else for (const { text, href } of pieces(body.text)) said.append(href ? makeLink(withoutPiles(text), href) : withoutPiles(text));
  return { said, isJumbo: isText && EMOJI_ONLY.test(body.text) };
}

function makeLink(text, href) {
  return Object.assign(element('a', 'address', text), { href, target: '_blank', rel: 'noopener noreferrer nofollow' });
}

/** The beginning of a long text, and a button for the rest. */
function clamp(said) {
  said.classList.add('clamped');
  const more = button('Show all', () => {
    const all = said.classList.toggle('clamped') === false;
    more.textContent = all ? 'Show less' : 'Show all';
    more.setAttribute('aria-expanded', all);
  });
  more.classList.add('more');
  more.setAttribute('aria-expanded', false);
  return more;
}

function makeWho(from, own, { name, tag }) {
  const who = element('span', `who hue-${hueOf(from)}`);
  who.append(element('bdi', '', own ? 'You' : name));
  if (tag) who.append(element('span', 'tag', ` ${tag}`));
  if (tag) who.title = `${tag}: not the first one here who is called ${name}`;
  return who;
}

/** `who` compares users: the own ones are one, whatever the server calls them. `labelOf` names the others. */
export function makeRow({ seq, id, from, name, at, body }, own, epoch, labelOf) {
  const row = element('li', own ? 'row own' : 'row');
  row.message = { seq, id, at, epoch, who: own ? 'me' : from };
  const avatar = element('span', `avatar hue-${hueOf(from)}`, initialOf(shownName(name)));
  avatar.setAttribute('aria-hidden', 'true');
  const bubble = element('div', 'bubble');
  const { said, isJumbo } = makeSaid(body);
  if (isJumbo) bubble.classList.add('jumbo');
  bubble.append(said, ...(isLong(said.textContent) ? [clamp(said)] : []), makeMeta({ at, seq }));
  const content = element('div', 'content');
  content.append(makeWho(from, own, own ? { name } : labelOf(from, name)), bubble);
  row.append(avatar, content);
  return row;
}
