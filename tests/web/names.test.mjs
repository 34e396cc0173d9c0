import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { pieces } from '../../web/links.js';
import { cleanName, foldName, NameBook, shownName } from '../../web/names.js';
import { isLong } from '../../web/rows.js';

describe('names', () => {
  test('lose what turns the line around, what cannot be seen and what breaks lines', () => {
    assert.equal(cleanName('  Ada \n Lovelace\t'), 'Ada Lovelace');
    assert.equal(cleanName('\u202Eada\u202C \u2066x\u2069'), 'ada x');
    assert.equal(cleanName('A\u200Bd\uFEFFa\u00AD'), 'Ada');
    assert.equal(cleanName('x'.repeat(100)).length, 64);
    assert.equal([...cleanName('🦀'.repeat(100))].length, 64);
  });

  test('keep what people write: scripts, accents, emoji of several parts', () => {
    for (const name of ['Zoë', 'محمد', 'ひらがな', 'ไทย', 'ﷺ', '👩‍👧', '❤️', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', "O'Neil-Smith", 'می‌خواهم']) {
      assert.equal(cleanName(name), name);
    }
  });

  test('that show nothing are none, and are shown as such', () => {
    const unseen = ['', ' ', '\u200B', '\u2800', '\uFEFF', '\u3164', '\u202E', '\u200D\uFE0F', '\u0301\u0302', '\u{E0041}', null, 7];
    for (const name of unseen) assert.equal(shownName(name), 'Nameless', JSON.stringify(name));
    assert.equal(cleanName('\u2800\u3164'), '');
  });

  test('have two marks on a character at most, so that none is drawn over the rows above', () => {
    assert.equal(shownName(`Z${'\u0300'.repeat(63)}algo`), 'Z\u0300\u0300algo');
  });

  test('that look the same are the same', () => {
    for (const other of ['ADA', ' ada', 'Ａｄａ', 'A\u200Bda', 'A d a']) assert.equal(foldName(other), foldName('Ada'), other);
    assert.notEqual(foldName('Ada'), foldName('Adá'));
  });
});

describe('people of one name', () => {
  const labels = (book, ...people) => people.map(([user, name]) => book.labelOf(user, name).tag);

  test('are told apart: the first keeps the name, the others get a tag of their user', () => {
    const book = new NameBook();
    book.setOwn('Me');
    const people = [['guest:aaaa1111', 'Bob'], ['guest:bbbb2222', 'bob'], ['guest:aaaa1111', 'BOB'], ['guest:cccc3333', 'Eve']];
    assert.deepEqual(labels(book, ...people), ['', '2222', '', '']);
    assert.deepEqual(book.labelOf('guest:bbbb2222', 'Bob'), { name: 'Bob', tag: '2222' });
  });

  test('cannot be this user: neither by their name nor as `You`', () => {
    const book = new NameBook();
    book.setOwn('Ada');
    assert.deepEqual(labels(book, ['guest:1234', 'You'], ['guest:5678', 'YOU'], ['guest:9abc', 'Ａda']), ['1234', '5678', '9abc']);
    book.setOwn('Eve');
    assert.deepEqual(labels(book, ['guest:9abc', 'Ada'], ['guest:def0', 'Eve']), ['', 'def0']);
  });

  test('take no more memory in a crowd', () => {
    const book = new NameBook();
    book.setOwn('Me');
    for (let n = 0; n < 10_000; n += 1) book.labelOf(`guest:${n}`, `name ${n}`);
    assert.equal(book.labelOf('guest:other', 'name 1').tag, '', 'the first ones are forgotten');
    assert.notEqual(book.labelOf('guest:other', 'name 9999').tag, '');
  });
});

describe('addresses in a text', () => {
  const links = (text) => pieces(text).filter(({ href }) => href).map(({ text: shown, href }) => [shown, href]);

  test('are found without the punctuation around them, and what is shown is what was written', () => {
    const rows = [
      ['https://example.com', 'https://example.com'],
      ['see http://a.example/b.', 'http://a.example/b'],
      ['(https://a.example/x_(y))', 'https://a.example/x_(y)'],
      ['<https://a.example>,', 'https://a.example'],
      ['HTTPS://A.example/Q?x=1&y=[2]!', 'HTTPS://A.example/Q?x=1&y=[2]'],
      ['„https://a.example/ä”', 'https://a.example/ä'],
    ];
    for (const [text, shown] of rows) assert.deepEqual(links(text), [[shown, new URL(shown).href]], text);
    assert.equal(links('http://a.example and http://b.example').length, 2);
  });

  test('of other kinds stay text: no script, no password, no nonsense', () => {
    for (const text of ['javascript:alert(1)', 'data:text/html,x', 'ftp://x', 'http://', 'https://user:pw@bank.example', 'xhttps://a.example', 'a.example']) {
      assert.deepEqual(links(text), [], text);
    }
  });

  test('end where the direction is turned around, and nothing of the text is lost', () => {
    assert.deepEqual(links('https://a.example/\u202Egpj.exe'), [['https://a.example/', 'https://a.example/']]);
    for (const text of ['', 'a', 'a https://b.example c', 'https://b.example', '((https://b.example))', 'x\n\nhttps://b.example\n']) {
      assert.equal(pieces(text).map(({ text: piece }) => piece).join(''), text);
    }
  });

  test('end before a thousand brackets that nothing has opened', () => {
    assert.deepEqual(links(`https://a.example/${')'.repeat(16_000)}`), [['https://a.example/', 'https://a.example/']]);
  });
});

test('a text is long by its lines or its letters', () => {
  assert.ok(isLong('\n'.repeat(8_000)));
  assert.ok(isLong('x'.repeat(2_000)));
  assert.ok(!isLong('one\ntwo\nthree'));
  assert.ok(!isLong('x'.repeat(1_000)));
});
