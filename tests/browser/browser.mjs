// The browser under test: Debian's, driven by playwright-core.

import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

import { chromium, firefox } from 'playwright-core';

import { TARGET, temporaryFolder } from './processes.mjs';

const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** Where `tests/parts/install.sh` says that a browser is, or where Debian puts it. */
function programOf(part, usual) {
  const link = join(TARGET, 'parts', part);
  return existsSync(link) ? readlinkSync(link) : usual;
}

/**
 * Chromium, without a window; root needs `--no-sandbox`. With `backForwardCache`, going back to a kept page loads nothing:
 * `goBack` waits for `commit` only.
 */
export function startChromium({ backForwardCache = false } = {}) {
  const executablePath = programOf('chromium', '/usr/bin/chromium');
  // Files that do not come from a node (ROOMCAST_WEB) have no address, which Chromium would hold against them.
  const fromDisk = process.env.ROOMCAST_WEB ? ['--disable-features=LocalNetworkAccessChecks'] : [];
  const ignoreDefaultArgs = backForwardCache ? ['--disable-back-forward-cache'] : [];
  return chromium.launch({ executablePath, headless: true, args: [...QUIET, ...fromDisk], ignoreDefaultArgs });
}

/** Firefox with a profile of its own, as one context. */
export async function startFirefox() {
  const executablePath = programOf('firefox', '/usr/bin/firefox-esr');
  const profile = temporaryFolder('firefox');
  const context = await firefox.launchPersistentContext(profile, { channel: 'moz-firefox', executablePath, headless: true });
  return { context, close: () => context.close() };
}
