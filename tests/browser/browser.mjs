// The browser under test: Debian's, driven by playwright-core.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium, firefox } from 'playwright-core';

const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** Chromium, without a window; root needs `--no-sandbox`. */
export function startChromium() {
  const executablePath = process.env.ROOMCAST_CHROMIUM ?? '/usr/bin/chromium';
  // Files that do not come from a node (ROOMCAST_WEB) have no address, which Chromium would hold against them.
  const fromDisk = process.env.ROOMCAST_WEB ? ['--disable-features=LocalNetworkAccessChecks'] : [];
  return chromium.launch({ executablePath, headless: true, args: [...QUIET, ...fromDisk] });
}

/** Firefox with a profile of its own, as one context. */
export async function startFirefox() {
  const executablePath = process.env.ROOMCAST_FIREFOX ?? '/usr/bin/firefox-esr';
  const profile = mkdtempSync(join(tmpdir(), 'roomcast-firefox-'));
  const context = await firefox.launchPersistentContext(profile, { channel: 'moz-firefox', executablePath, headless: true });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
