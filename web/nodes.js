// The nodes as people see them: links to the same room on other nodes' pages, and a name for the page's own.

import { element } from './rows.js';

/**
 * What people call the node at `origin`, by the links between the nodes' pages: the name of the link that leads here, or
 * the number that the others' names leave out (Node 1, Node 3: this is Node 2). Empty when the links do not tell.
 */
export function nodeName(links, origin) {
  const here = links.find(({ url }) => new URL(url).origin === origin);
  if (here) return here.name;
  const numbers = new Set();
  let prefix = null;
  for (const { name } of links) {
    const [, before, number] = /^(.*?)(\d+)$/u.exec(name) ?? [];
    if (number === undefined || (prefix !== null && prefix !== before)) return '';
    prefix = before;
    numbers.add(Number(number));
  }
  if (prefix === null) return '';
  let own = 1;
  while (numbers.has(own)) own += 1;
  return `${prefix}${own}`;
}

/** {name, links}: of the page's own node, and elements for the others; behind a load balancer there may be neither. */
export async function askNodes(origin) {
  try {
    const { links } = await (await fetch('page.json')).json();
    const pages = links.filter(({ url }) => /^https?:\/\//.test(url));
    const others = pages.filter(({ url }) => new URL(url).origin !== origin);
    return { name: nodeName(pages, origin), links: others.map(makeLink) };
  } catch {
    return { name: '', links: [] };
  }
}

function makeLink({ name, url }) {
  const link = element('a', 'node', name);
  Object.assign(link, { target: '_blank', rel: 'noopener', title: `The same room on ${name}` });
  link.dataset.url = new URL('/', url).href;
  return link;
}

/** Has the links lead to this room, with a name for those who have none there yet. */
export function leadTo(links, { name, room }) {
  for (const link of links) link.href = `${link.dataset.url}#${new URLSearchParams({ name, room })}`;
}
