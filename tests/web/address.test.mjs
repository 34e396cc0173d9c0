import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { readAddress } from '../../web/address.js';
import { nodeName } from '../../web/nodes.js';
import { statusOf } from '../../web/status.js';

const NOBODY = { name: '', room: '' };
const read = (hash, { now = NOBODY, kept = NOBODY, search = '' } = {}) => readAddress({ hash, search }, now, kept);

describe('a link', () => {
  test('with name and room takes in who has no name yet', () => {
    assert.deepEqual(read('#name=Ada&room=x'), { enter: true, name: 'Ada', room: 'x', proposed: '' });
    assert.deepEqual(read('', { search: '?name=Ada&room=x' }), { enter: true, name: 'Ada', room: 'x', proposed: '' });
  });

  test('with a room alone offers it, and takes in who has a name', () => {
    assert.deepEqual(read('#room=x'), { enter: false, name: '', room: 'x', proposed: '' });
    const kept = { name: 'Ada', room: 'old' };
    assert.deepEqual(read('#room=x', { kept }), { enter: true, name: 'Ada', room: 'x', proposed: '' });
  });

  test('never renames: not who was here before, and not who is here', () => {
    const kept = { name: 'Ada', room: 'old' };
    const expected = { enter: true, name: 'Ada', room: 'x', proposed: 'Mallory' };
    assert.deepEqual(read('#name=Mallory&room=x', { kept }), expected);
    assert.deepEqual(read('#name=Mallory&room=x', { now: { name: 'Ada', room: 'y' }, kept: { name: 'Eve', room: '' } }), expected);
    assert.equal(read('#name=Ada&room=x', { kept }).proposed, '');
  });

  test('without a room asks, with what was last here; on a page that is in a room it stays there', () => {
    assert.deepEqual(read('', { kept: { name: 'Ada', room: 'old' } }), { enter: false, name: 'Ada', room: 'old', proposed: '' });
    assert.deepEqual(read(''), { enter: false, name: '', room: 'lobby', proposed: '' });
    const now = { name: 'Ada', room: 'y' };
    assert.deepEqual(read('', { now }), { enter: true, name: 'Ada', room: 'y', proposed: '' });
  });

  test('with a room that there cannot be, or a name that nobody can see, asks', () => {
    assert.deepEqual(read('#name=Ada&room=a b'), { enter: false, name: 'Ada', room: 'a b', proposed: '' });
    assert.deepEqual(read('#name=%E2%80%8B&room=x'), { enter: false, name: '', room: 'x', proposed: '' });
  });
});

describe("the node's name", () => {
  const link = (name, port) => ({ name, url: `http://127.0.0.1:${port}` });

  test("is that of the link that leads here, or the number that the others leave out", () => {
    const all = [link('Berlin', 1), link('Rome', 2)];
    assert.equal(nodeName(all, 'http://127.0.0.1:2'), 'Rome');
    assert.equal(nodeName([link('Node 2', 8081)], 'http://127.0.0.1:8080'), 'Node 1');
    assert.equal(nodeName([link('Node 1', 8080), link('Node 3', 8082)], 'http://127.0.0.1:8081'), 'Node 2');
    assert.equal(nodeName([link('Node 1', 8080), link('Node 2', 8082)], 'http://127.0.0.1:8083'), 'Node 3');
  });

  test('is unknown when the links do not tell', () => {
    assert.equal(nodeName([], 'http://x'), '');
    assert.equal(nodeName([link('Berlin', 1)], 'http://x'), '');
    assert.equal(nodeName([link('Node 2', 1), link('Server 3', 1)], 'http://x'), '');
  });
});

describe('the line that tells of the connection', () => {
  const line = (state, about = {}) => statusOf(state, { node: 'Node 1', live: true, draining: false, since: 0, ...about });

  test('says where the page is live, in words of people', () => {
    assert.deepEqual(line({ kind: 'live' }), { kind: 'live', label: 'live on Node 1' });
    assert.equal(line({ kind: 'live' }, { node: '' }).label, 'live');
    assert.equal(line({ kind: 'live' }, { live: false }).label, 'catching up…');
    assert.equal(line({ kind: 'live' }, { draining: true }).label, 'Node 1 restarts, moving on soon');
  });

  test('says what is waited for, when that takes long', () => {
    assert.equal(line({ kind: 'connecting' }).label, 'connecting…');
    assert.equal(line({ kind: 'connecting' }, { since: 3_000 }).label, 'waiting for Node 1 to answer…');
    const held = line({ kind: 'connecting', answers: true }, { since: 3_000 });
    assert.equal(held.label, 'Node 1 is back, waiting for the browser to connect…');
    assert.equal(line({ kind: 'waiting', code: 1006 }, { node: '' }).label, 'the node does not answer, reconnecting');
    assert.equal(line({ kind: 'waiting', code: 1013 }).label, 'Node 1 is full, reconnecting');
    assert.equal(line({ kind: 'waiting', code: 4029 }).label, 'this page sent too much, reconnecting');
    assert.deepEqual(line({ kind: 'waiting', code: 1012 }), { kind: 'waiting', label: 'reconnecting', action: 'Try now' });
  });

  test('says why it has ended, with the words of the server where there are some', () => {
    const reason = 'the name has 65 characters, at most 64 are allowed';
    assert.deepEqual(line({ kind: 'closed', code: 4001, reason }), {
      kind: 'offline', label: 'The name has 65 characters, at most 64 are allowed', action: 'Try again',
    });
    assert.equal(line({ kind: 'closed', code: 4001, reason: '' }).label, 'Not signed in');
    assert.equal(line({ kind: 'closed', code: 4003 }).label, 'not allowed here');
    assert.deepEqual(line({ kind: 'offline' }), { kind: 'offline', label: 'offline', action: 'Try now' });
    assert.equal(line({ kind: 'idle' }).label, 'not connected');
  });
});
