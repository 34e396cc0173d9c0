// Firefox, which holds a WebSocket back after failed ones: the longer the outage, the longer. The page asks the node first,
// and so makes none that fail.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { startFirefox } from './browser.mjs';
import { visit } from './chat-page.mjs';
import { allEnded, allStarted, nodeOf, startStack } from './processes.mjs';

const OUTAGE_MS = 90_000;
/** Longest start and end of everything, in milliseconds. */
const HOOK_MS = 120_000;
let [browser, stack, third] = [];

before(async () => {
  await allStarted([
    startFirefox().then((started) => (browser = started)),
    startStack().then((started) => (stack = started)),
  ]);
  third = await nodeOf(stack);
  await third.start();
}, { timeout: HOOK_MS });

after(() => allEnded([() => browser?.close(), () => third?.kill(), () => stack?.stop()]), { timeout: HOOK_MS });

const join = async (url, name, room) => {
  const visitor = await visit(null, `${url}/#${new URLSearchParams({ name, room })}`, { context: browser.context });
  await visitor.live();
  return visitor;
};

test('chat across two nodes, with the focus where it belongs', { timeout: 60_000 }, async () => {
  const [ada, grace] = [await join(stack.nodes[0], 'Ada', 'firefox'), await join(stack.nodes[1], 'Grace', 'firefox')];
  await ada.says(/^live on Node 1$/);
  await ada.say('hello');
  await grace.shows('hello');
  await grace.say('and hello');
  for (const who of [ada, grace]) await who.shows('hello', 'and hello');
  for (const who of [ada, grace]) assert.ok(await who.hasFocus(who.composer));
  for (const { mistakes, page } of [ada, grace]) {
    assert.deepEqual(mistakes, []);
    await page.close();
  }
});

test('a page is live within 15 s after a node that was away for 90 s is back', { timeout: 240_000 }, async () => {
  const ada = await join(third.url, 'Ada', 'outage');
  await ada.say('before');
  await ada.shows('before');
  await third.kill();
  await ada.says(/does not answer, reconnecting/, 30_000);
  await ada.say('while away');
  await sleep(OUTAGE_MS);
  await third.start();
  const back = Date.now();
  await ada.live(15_000);
  await ada.shows('before', 'while away');
  console.log(`# live ${Date.now() - back} ms after the node was back`);
});
