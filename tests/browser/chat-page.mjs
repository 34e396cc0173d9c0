// The chat page as its users see it, for tests: by roles, labels and text where that is what users go by.

import { readFileSync } from 'node:fs';

import { until } from './processes.mjs';

/** With ROOMCAST_WEB=<folder> the files of the page come from there instead of from the nodes, which need not be built then. */
async function fromDisk(context) {
  const folder = process.env.ROOMCAST_WEB;
  if (!folder) return;
  const types = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', html: 'text/html' };
  await context.route(/127\.0\.0\.1:\d+\/([a-z/]+\.(js|css|svg))?([?#].*)?$/, (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname === '/' ? 'index.html' : pathname.slice(1);
    const headers = { 'content-security-policy': "default-src 'self'" };
    return route.fulfill({ body: readFileSync(`${folder}/${name}`), contentType: types[name.split('.').at(-1)], headers });
  });
}

/** Opens a page in a context of its own: a browser that has never been here. */
export async function visit(browser, url, { context, options = {} } = {}) {
  const own = context ?? await browser.newContext(options);
  if (!context) await fromDisk(own);
  const page = await own.newPage();
  const mistakes = [];
  page.on('pageerror', (error) => mistakes.push(error.message));
  await page.goto(url);
  return chat(page, own, mistakes);
}

export function chat(page, context, mistakes = []) {
  const composer = page.getByRole('textbox', { name: 'Message' });
  const dialog = page.getByRole('dialog');
  const self = {
    page, context, composer, dialog, mistakes,
    status: page.locator('#status-text'),
    kind: () => page.locator('#status').getAttribute('data-kind'),
    /** Joins by the dialog. */
    async join(name, room) {
      await dialog.getByLabel('Your name').fill(name);
      await dialog.getByLabel('Room').fill(room);
      await dialog.getByRole('button', { name: 'Join' }).click();
      await self.live();
      return self;
    },
    live: (patience) => until('live', async () => (await self.kind()) === 'live', patience),
    /** The line that tells of the connection comes to match. */
    says: (pattern, patience = 10_000) => until(`${pattern}`, async () => pattern.test(await self.status.textContent()), patience),
    async say(text) {
      await composer.fill(text);
      await composer.press('Enter');
    },
    /** All messages: {name, text, own, tag, seq}. */
    rows: () => page.locator('#log .row, #outbox .row').evaluateAll((rows) => rows.map((row) => ({
      name: row.querySelector('.who bdi').textContent,
      tag: row.querySelector('.tag')?.textContent.trim() ?? '',
      text: row.querySelector('.said').textContent,
      own: row.classList.contains('own'),
      waits: row.classList.contains('pending'),
      seq: Number(row.querySelector('.seq')?.textContent.slice(1) ?? 0),
    }))),
    texts: async () => (await self.rows()).map(({ text }) => text),
    /** Comes to show exactly these texts, in this order, all of them delivered. */
    async shows(...texts) {
      let last;
      const same = async () => {
        const rows = await self.rows();
        last = rows.map(({ text, waits }) => (waits ? `${text} (waits)` : text));
        return last.join('\n') === texts.join('\n');
      };
      await until(`the rows ${texts.join(' | ')}`, same, 20_000).catch((error) => {
        throw new Error(`${error.message}, but ${last.join(' | ')}`);
      });
    },
    hasFocus: (locator) => locator.evaluate((node) => node === document.activeElement),
  };
  return self;
}
