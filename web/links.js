// Addresses in other people's text. Only http and https become links, and what is shown is what was written.

const ADDRESS = /\bhttps?:\/\/[^\s<>"\p{Cc}\u200B-\u200F\u202A-\u202E\u2060-\u206F]+/giu;
const CLOSING = { ')': '(', ']': '[', '}': '{' };

/** An address without the punctuation of the sentence around it; a bracket that it has opened belongs to it. */
function withoutPunctuation(address) {
  const count = {};
  for (const letter of address) count[letter] = (count[letter] ?? 0) + 1;
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    const opening = CLOSING[last];
    if (opening && count[last] <= (count[opening] ?? 0)) break;
    if (!opening && !/[.,;:!?'…*_~»”’]/u.test(last)) break;
    count[last] -= 1;
  }
  return address.slice(0, end);
}

function addressOf(text) {
  try {
    const url = new URL(text);
    return url.hostname && !url.username && !url.password ? url.href : null;
  } catch {
    return null;
  }
}

/** A text in pieces: {text}, and {text, href} for those that are links. */
export function pieces(text) {
  const found = [];
  let from = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const shown = withoutPunctuation(match);
    const href = addressOf(shown);
    if (!href) continue;
    if (index > from) found.push({ text: text.slice(from, index) });
    found.push({ text: shown, href });
    from = index + shown.length;
  }
  if (from < text.length || found.length === 0) found.push({ text: text.slice(from) });
  return found;
}
