// What the browser tests share: one browser and one local stack for a file, and visitors for each test.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startChromium } from './browser.mjs';
import { visit } from './chat-page.mjs';
import { allEnded, allStarted, nodeOf, startStack, wireTo } from './processes.mjs';

/** Longest test, and longest start and end of everything, in milliseconds. */
const TEST_MS = 60_000;
const HOOK_MS = 120_000;

/**
 * Starts everything before the tests of a file and ends it behind them. `at` has `browser`, the URLs `one` and `two` of the
 * stack's nodes, and with `third` a node of its own program; `scene` is a test whose visitors and wires are gone afterwards.
 * `backForwardCache`: a browser that keeps pages for going back to, which playwright otherwise forbids.
 */
export function stage({ third = false, backForwardCache = false } = {}) {
  const at = {};
  let stack;
  let rooms = 0;

  before(async () => {
    await allStarted([
      startChromium({ backForwardCache }).then((browser) => (at.browser = browser)),
      startStack().then((started) => (stack = started)),
    ]);
    [at.one, at.two] = stack.nodes;
    if (!third) return;
    at.third = await nodeOf(stack);
    await at.third.start();
  }, { timeout: HOOK_MS });

  after(() => allEnded([() => at.browser?.close(), () => at.third?.kill(), () => stack?.stop()]), { timeout: HOOK_MS });

  function scene(name, run, { timeout = TEST_MS } = {}) {
    test(name, { timeout }, async () => {
      rooms += 1;
      const room = `room-${rooms}`;
      const [visitors, wires] = [[], []];
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
      /** A wire to a node, as in `wireTo`. */
      const wire = async (url) => {
        const made = await wireTo(url);
        wires.push(made);
        return made;
      };
      try {
        await run({ room, open, guest, wire });
        for (const { mistakes } of visitors) assert.deepEqual(mistakes, []);
      } finally {
        await allEnded([...visitors.map(({ context }) => () => context.close()), ...wires.map((one) => () => one.close())]);
      }
    });
  }

  return { scene, at };
}
