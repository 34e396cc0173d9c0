import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { FORGET_MS, TELL_MS, Typing, typingKey } from '../../web/typing.js';
import { FakeClock } from './fakes.mjs';

const plain = (text) => text.replace(/[\u2068\u2069]/g, '');

function world() {
  const clock = new FakeClock();
  const [told, shown] = [[], []];
  const typing = new Typing({ clock, tell: ({ typing: state }) => told.push(state), show: (text) => shown.push(plain(text)) });
  const hear = (from, name, state = true) => typing.heard({ from, key: typingKey(from), body: { typing: state, name } });
  return { clock, told, typing, hear, get line() { return shown.at(-1) ?? ''; } };
}

describe('what the others are told', () => {
  test('typing is told at once, and then once in two seconds while it goes on', () => {
    const w = world();
    for (let second = 0; second < 10; second += 0.5) {
      w.typing.typed('hel');
      w.clock.advance(500);
    }
    assert.deepEqual(w.told, [true, true, true, true, true]);
    w.clock.advance(60_000);
    assert.equal(w.told.length, 5, 'nothing is told by itself');
    assert.equal(TELL_MS, 2_000);
  });

  test('its end is told once: when the text is sent, or taken back', () => {
    const w = world();
    w.typing.stopped();
    w.typing.typed('h');
    w.typing.stopped();
    w.typing.stopped();
    w.clock.advance(TELL_MS);
    assert.deepEqual(w.told, [true, false]);
    w.typing.typed('again');
    w.typing.typed('');
    assert.deepEqual(w.told, [true, false, true, false]);
  });

  test('whoever types again right after sending is heard of when the two seconds are over, unless that is sent too', () => {
    const w = world();
    w.typing.typed('h');
    w.typing.stopped();
    w.typing.typed('a');
    assert.deepEqual(w.told, [true, false]);
    w.clock.advance(TELL_MS);
    assert.deepEqual(w.told, [true, false, true]);
    w.typing.stopped();
    w.typing.typed('b');
    w.typing.stopped();
    w.clock.advance(60_000);
    assert.deepEqual(w.told, [true, false, true, false]);
  });
});

describe('what is shown', () => {
  test('the names of those who type, as far as there is space', () => {
    const w = world();
    w.hear('u1', 'Ada');
    assert.equal(w.line, 'Ada is typing…');
    w.hear('u2', 'Bob');
    assert.equal(w.line, 'Ada and Bob are typing…');
    w.hear('u3', 'Eve');
    assert.equal(w.line, 'Ada, Bob and Eve are typing…');
    w.hear('u4', 'Joe');
    assert.equal(w.line, 'Several people are typing…');
    w.typing.clear();
    assert.deepEqual([w.line, w.clock.size], ['', 0]);
  });

  test('for four seconds after each sign, and no timer is left behind', () => {
    const w = world();
    w.hear('u1', 'Ada');
    w.clock.advance(FORGET_MS - 1);
    w.hear('u1', 'Ada L.');
    w.clock.advance(FORGET_MS - 1);
    assert.equal(w.line, 'Ada L. is typing…');
    w.clock.advance(1);
    assert.deepEqual([w.line, w.clock.size, FORGET_MS], ['', 0, 4_000]);
  });

  test('until a message of that user comes, or the word that they have stopped', () => {
    const w = world();
    w.hear('u1', 'Ada');
    w.hear('u2', 'Bob');
    w.typing.said('u3');
    w.typing.said('u1');
    assert.equal(w.line, 'Bob is typing…');
    w.hear('u2', 'Bob', false);
    assert.deepEqual([w.line, w.clock.size], ['', 0]);
  });

  test('nobody is shown on the word of another, and no nonsense', () => {
    const w = world();
    w.typing.heard({ from: 'u1', key: typingKey('u2'), body: { typing: true, name: 'Bob' } });
    w.typing.heard({ from: 'u1', key: undefined, body: { typing: true, name: 'Ada' } });
    for (const body of [null, 7, {}, { typing: true }, { typing: true, name: ' ' }, { typing: 1, name: 'A' }]) {
      w.typing.heard({ from: 'u1', key: typingKey('u1'), body });
    }
    assert.equal(w.line, '');
    w.hear('u1', `A\n\u0007${'b'.repeat(100)}`);
    assert.equal(w.line, `A ${'b'.repeat(62)} is typing…`);
    for (let number = 0; number < 1_000; number += 1) w.hear(`x${number}`, 'X');
    assert.ok(w.clock.size <= 51, 'a crowd takes no more memory than a few');
  });

  test("a key is at most as long as the protocol's", () => {
    assert.equal(typingKey('guest:9f8e'), 'typing:guest:9f8e');
    assert.equal([...typingKey('🦀'.repeat(100))].length, 64);
  });
});
