// What the page looks like, to eyes and to assistive technology, and what it makes of other people's text. With
// ROOMCAST_SHOTS=<folder> it leaves pictures there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe } from 'node:test';

import { until } from './processes.mjs';
import { stage } from './stage.mjs';

const { scene, at } = stage();
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

async function shot({ page }, name) {
  if (process.env.ROOMCAST_SHOTS) await page.screenshot({ path: `${process.env.ROOMCAST_SHOTS}/${name}.png` });
}

/** What axe finds wrong with the page as it is now. */
async function violations({ page }) {
  await page.waitForTimeout(600); // what fades in has its colours
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run());
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`);
}

for (const colorScheme of ['light', 'dark']) {
  scene(`axe finds nothing, ${colorScheme}: the dialog, a room with messages, a proposal, a node that is away`, async ({ open, guest, room }) => {
    const options = { colorScheme, viewport: { width: 1280, height: 800 } };
    const ada = await open(`${at.one}/#room=${room}`, options);
    await shot(ada, `dialog-${colorScheme}`);
    assert.deepEqual(await violations(ada), []);
    await ada.join('Ada', room);
    assert.deepEqual(await violations(ada), []);
    await shot(ada, `empty-${colorScheme}`);
    const grace = await guest(at.two, 'Grace');
    const stranger = await guest(at.two, 'You');
    await ada.say('Hello from the first node! 👋');
    await grace.shows('Hello from the first node! 👋');
    await grace.say('And hello from the second. Heard you within a blink: https://example.com/a?b=c');
    await stranger.say('I am you.');
    await until('three rows', async () => (await ada.rows()).length === 3);
    await ada.say('🎉');
    await ada.page.evaluate((name) => (location.hash = `name=${name}&room=${document.title.split(' ')[0]}`), 'Mallory');
    await until('the proposal', () => ada.page.locator('#proposal').isVisible());
    await grace.composer.pressSequentially('hm');
    await until('typing', async () => (await ada.page.locator('#typing').textContent()) !== '');
    await shot(ada, `room-${colorScheme}`);
    assert.deepEqual(await violations(ada), []);
    await ada.context.setOffline(true);
    await until('offline', async () => (await ada.kind()) !== 'live');
    await ada.say('not sent yet');
    await shot(ada, `offline-${colorScheme}`);
    assert.deepEqual(await violations(ada), []);
  });
}

scene('a phone: everything fits, Enter begins a new line, the button sends', async ({ guest }) => {
  const [ada, grace] = [await guest(at.one, 'Ada', PHONE), await guest(at.two, 'Grace')];
  await grace.say('A message that is long enough to take more than one line on the narrow page of a telephone, as most are.');
  await until('the message', async () => (await ada.rows()).length === 1);
  await ada.composer.fill('first line');
  await ada.composer.press('Enter');
  await ada.page.keyboard.type('second line');
  await ada.page.getByRole('button', { name: 'Send' }).tap();
  await until('both', async () => (await ada.texts()).includes('first line\nsecond line'));
  const wide = await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(wide, 0);
  for (const part of [ada.composer, ada.page.locator('#room'), ada.page.locator('#me'), ada.page.getByRole('link', { name: 'Node 2' })]) {
    const { x, y, width, height } = await part.boundingBox();
    assert.ok(x >= 0 && y >= 0 && x + width <= 390 && y + height <= 844, `${x} ${y} ${width} ${height}`);
  }
  assert.deepEqual(await violations(ada), []);
  await shot(ada, 'phone');
});

describe("other people's text", () => {
  scene('8,000 newlines take a part of the page, until somebody asks for all', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    await grace.composer.evaluate((field, text) => {
      field.value = text;
      field.dispatchEvent(new Event('input'));
    }, `top${'\n'.repeat(8_000)}bottom`);
    await grace.page.getByRole('button', { name: 'Send' }).click();
    await until('the row', async () => (await ada.rows()).length === 1);
    const height = () => ada.page.locator('#log .row').evaluate((row) => row.getBoundingClientRect().height);
    assert.ok((await height()) < 400, `${await height()}`);
    await shot(ada, 'long');
    await ada.page.getByRole('button', { name: 'Show all' }).click();
    assert.ok((await height()) > 100_000);
    await ada.page.getByRole('button', { name: 'Show less' }).click();
    assert.ok((await height()) < 400);
  });

  scene('a pile of combining marks is drawn over no other row', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    for (const text of ['above', `Z${'\u0335\u030D'.repeat(200)}`, 'below']) await grace.say(text);
    await until('the rows', async () => (await ada.rows()).length === 3);
    assert.equal((await ada.texts())[1], `Z${'\u0335\u030D'.repeat(4)}`);
    assert.equal(await ada.page.locator('#log .row').nth(1).evaluate((row) => getComputedStyle(row).overflowY), 'clip');
    await shot(ada, 'marks');
  });

  scene('addresses are links, and nothing else is', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    await grace.say('see https://example.com/a_(b)?c=d&e=f. or <http://x.example>, not javascript:alert(1) or ftp://y');
    await until('the row', async () => (await ada.rows()).length === 1);
    const links = await ada.page.locator('.said a').evaluateAll((all) => all.map(({ href, textContent, rel, target }) => ({ href, textContent, rel, target })));
    assert.deepEqual(links.map(({ href }) => href), ['https://example.com/a_(b)?c=d&e=f', 'http://x.example/']);
    assert.deepEqual(links.map(({ textContent }) => textContent), ['https://example.com/a_(b)?c=d&e=f', 'http://x.example']);
    for (const { rel, target } of links) assert.deepEqual([rel, target], ['noopener noreferrer nofollow', '_blank']);
  });

  scene('a stranger who is called `You`, or like oneself, is told apart', async ({ guest }) => {
    const ada = await guest(at.one, 'Ada');
    const [you, other, grace] = [await guest(at.two, 'You'), await guest(at.two, 'ａda'), await guest(at.two, 'Grace')];
    let count = 0;
    for (const who of [you, other, grace, ada]) {
      await who.say('hello');
      count += 1;
      await until('the row', async () => (await ada.rows()).filter(({ waits }) => !waits).length === count);
    }
    const rows = await ada.rows();
    assert.deepEqual(rows.map(({ name }) => name), ['You', 'ａda', 'Grace', 'You']);
    assert.deepEqual(rows.map(({ tag }) => /^[0-9a-f]{4}$/.test(tag)), [true, true, false, false]);
    await shot(ada, 'names');
  });
});
