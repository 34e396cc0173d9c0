// The page as files: what a strict Content-Security-Policy and a reader of other people's text ask of it.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { hueOf, initialOf } from '../../web/messages.js';
import { liveWorld } from './fakes.mjs';

const WEB = new URL('../../web/', import.meta.url);
const read = (name) => readFileSync(new URL(name, WEB), 'utf8');
const scripts = readdirSync(WEB, { recursive: true }).filter((name) => name.endsWith('.js'));
const html = read('index.html');

describe("under `default-src 'self'`", () => {
  test('the page has no inline script, style or handler', () => {
    assert.doesNotMatch(html, /<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:/i);
    for (const [tag, content] of html.matchAll(/<script[^>]*>([^<]*)<\/script>/g)) {
      assert.match(tag, /src="/);
      assert.equal(content, '');
    }
    assert.equal(html.match(/<script/g).length, 1);
  });

  test('scripts set no style attribute and make no code of text', () => {
    for (const name of scripts) assert.doesNotMatch(read(name), /setAttribute\('style'|cssText|\beval\(|new Function/, name);
  });

  test('everything that is loaded is one of the files beside the page', () => {
    const loads = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => new URL(url, WEB));
    for (const name of scripts) {
      for (const [, url] of read(name).matchAll(/from '(\.\.?\/[^']+)'/g)) loads.push(new URL(url, new URL(name, WEB)));
    }
    assert.ok(loads.length >= 6);
    for (const { href } of loads) {
      assert.ok(existsSync(new URL(href)) && /^[a-z.]+(\/[a-z.]+)?$/.test(href.slice(WEB.href.length)), href);
    }
    assert.doesNotMatch(read('chat.css'), /@import|url\(/);
  });
});

describe('text of other people', () => {
  test('never becomes markup', () => {
    const markup = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc/;
    for (const name of scripts) assert.doesNotMatch(read(name), markup, name);
  });

  test('a name stands in its circle by its first character as people count', () => {
    assert.equal(initialOf(' ada'), 'A');
    assert.equal(initialOf('👩‍👧 both'), '👩‍👧');
    assert.equal(initialOf(' '), '?');
  });

  test('a user has one colour, and the colours are all used', () => {
    assert.equal(hueOf('guest:9f8e7d6c'), hueOf('guest:9f8e7d6c'));
    const counts = new Map();
    for (let n = 0; n < 1_200; n += 1) {
      const hue = hueOf(`guest:${n}`);
      counts.set(hue, (counts.get(hue) ?? 0) + 1);
    }
    assert.deepEqual([...counts.keys()].sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.ok(Math.min(...counts.values()) > 50, 'about evenly');
    for (const hue of counts.keys()) assert.ok(read('chat.css').includes(`.hue-${hue} {`), hue);
  });
});

describe('the parts agree', () => {
  test('every element that the script names is on the page', () => {
    const ids = new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id));
    const named = scripts.flatMap((name) => [...read(name).matchAll(/\$\('([^']+)'\)/g)].map(([, id]) => id));
    assert.ok(named.length > 20);
    for (const id of named) assert.ok(ids.has(id), id);
  });

  test('the frames that servers send, as written down for all clients, are taken', () => {
    const golden = readFileSync(new URL('../../crates/protocol/fixtures/server_frames.jsonl', import.meta.url), 'utf8');
    const w = liveWorld(41);
    for (const line of golden.trim().split('\n')) w.socket.onmessage({ data: line });
    const [welcome] = golden.split('\n').map((line) => line && JSON.parse(line));
    assert.equal(w.client.user, welcome.user);
    assert.deepEqual(w.seqs(), [42]);
    assert.deepEqual(w.client.position('lobby'), { epoch: '2.00000000000000bb', seq: 42 });
    assert.deepEqual(w.told('error').map(({ code }) => code), ['bad_frame', 'unknown_type'], 'publishes that nothing waits for are no news');
  });

  test('frames of a newer server, and what is no frame, are passed over', () => {
    const w = liveWorld(10);
    for (const data of ['{"type":"hologram"}', 'null', '7', '{', '[]']) w.socket.onmessage({ data });
    w.socket.message('lobby', 11);
    assert.deepEqual(w.seqs(), [11]);
  });
});
