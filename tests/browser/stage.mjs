// What the browser tests share: one browser and one local stack for a file, and visitors for each test.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startChromium } from './browser.mjs';
import { visit } from './chat-page.mjs';
import { nodeOf, startStack } from './processes.mjs';

/** Longest test, in milliseconds. */
const TEST_MS = 60_000;

/**
 * Starts everything before the tests of a file and ends it behind them. `at` has `browser`, the URLs `one` and `two` of the
 * stack's nodes, and with `third` a node of its own program; `scene` is a test whose visitors are gone afterwards.
 */
export function stage({ third = false } = {}) {
  const at = {};
  let stack;
  let rooms = 0;

  before(async () => {
    [at.browser, stack] = await Promise.all([startChromium(), startStack()]);
    [at.one, at.two] = stack.nodes;
    if (!third) return;
    at.third = await nodeOf(stack);
    await at.third.start();
  });

  after(async () => {
    await at.browser?.close();
    await at.third?.kill();
    await stack?.stop();
  });

  function scene(name, run) {
    test(name, { timeout: TEST_MS }, async () => {
      rooms += 1;
      const room = `room-${rooms}`;
      const visitors = [];
      const open = async (url, options) => {
        const visitor = await visit(at.browser, url, { options });
        visitors.push(visitor);
        return visitor;
      };
      /** A new visitor who joins by a link. */
      const guest = async (url, who, options) => {
        const visitor = await open(`${url}/#${new URLSearchParams({ name: who, room })}`, options);
        await visitor.live();
        return visitor;
      };
      try {
        await run({ room, open, guest });
        for (const { mistakes } of visitors) assert.deepEqual(mistakes, []);
      } finally {
        await Promise.all(visitors.map(({ context }) => context.close()));
      }
    });
  }

  return { scene, at };
}
