// The client itself, imported as applications do, in a real browser on two real nodes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { callsOn } from '../web/calls.mjs';
import { stage } from './stage.mjs';

const { scene, at } = stage();
const socketOf = (url) => `${url.replace('http', 'ws')}/ws`;

/** Events, and which telling of them the listener acts at: the second `joined` and `live` are those of a resume. */
const MOMENTS = [['state', 2], ['joined', 1], ['joined', 2], ['live', 1], ['live', 2], ['message', 2], ['message', 4], ['ack', 1], ['ack', 3]];
/** All lives, on a machine that is busy otherwise, in milliseconds. */
const LIVES_MS = 180_000;
const CALLS = Object.keys(callsOn('')).filter((call) => !['offline', 'wake', 'signal', 'retry all'].includes(call));

scene('stays right when a listener makes any call at any event, on real nodes', async ({ open }) => {
  const { page } = await open(`${at.one}/page.json`);
  await page.route('**/tests/*.mjs', (route) => {
    const name = new URL(route.request().url()).pathname.split('/').at(-1);
    const folder = name === 'lives.mjs' ? './' : '../web/';
    return route.fulfill({ body: readFileSync(new URL(folder + name, import.meta.url)), contentType: 'text/javascript' });
  });
  const lives = MOMENTS.flatMap(([on, nth]) => CALLS.map((call) => ({ on, nth, call })));
  assert.ok(lives.length > 100);
  const given = { near: socketOf(at.one), far: socketOf(at.two), lives, atATime: 10 };
  const complaints = await page.evaluate(async (it) => (await import('/tests/lives.mjs')).run(it), given);
  assert.deepEqual(complaints, []);
}, { timeout: LIVES_MS });
