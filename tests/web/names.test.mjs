import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { pieces } from '../../web/links.js';
import { cleanName, foldName, NameBook, shownName } from '../../web/names.js';
import { isLong, withoutPiles } from '../../web/rows.js';

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

  test('have two marks on a character at most, four of a script, so that none is drawn over the rows above', () => {
    assert.equal(shownName(`Z${'\u0300'.repeat(63)}algo`), 'Z\u0300\u0300algo');
    assert.equal(cleanName(`e${'\u0301'.repeat(63)}`), 'e\u0301\u0301');
    assert.equal(cleanName(`e${'\u0489'.repeat(30)}x\u0301`), 'e\u0489\u0489x\u0301');
    assert.equal(cleanName(`ก${'็'.repeat(63)}`), `ก${'็'.repeat(4)}`);
    assert.equal([...cleanName(`e\uFE0F${'\u0301\uFE0F'.repeat(20)}`)].length, 6);
  });

  test('that look the same are the same', () => {
    for (const other of ['ADA', ' ada', 'Ａｄａ', 'A\u200Bda', 'A d a', '\u3164Ada', 'A\u2800da', 'A\uFE0Fda']) assert.equal(foldName(other), foldName('Ada'), other);
    assert.notEqual(foldName('Ada'), foldName('Adá'));
  });
});

describe('names are what the server makes of them', () => {
  test('people\'s stay as they are', () => {
    const names = [
      'Ada', 'Ada 🦀', 'Zoë Müller-Lüdenscheidt', '👨\u200D👩\u200D👧\u200D👦', '🏳\uFE0F\u200D🌈 ❤\uFE0F\u200D🔥 👍🏽 1\uFE0F\u20E3',
      '🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}', 'می\u200Cخواهم', 'ශ\u0DCA\u200Dර\u0DD3', 'Nguye\u0302\u0303n',
      'שָׁלוֹם', 'बाज़ें', 'སྒྲོལ་མ', 'မြို့', 'ที่รัก', '葛\u{E0100}城', '아이유', 'الاسم', '-', '\uE000',
    ];
    for (const name of names) assert.equal(cleanName(name), name);
  });

  test('what is not seen is taken out', () => {
    const rows = [
      ['\u202EnosaJ', 'nosaJ'], ['\u2066Ada\u2069', 'Ada'], ['\u202AAda\u202C\u200E\u200F\u061C', 'Ada'],
      ['A\u200Bd\u00ADa\uFEFF\u2060', 'Ada'], ['\u200DA\u200D\u200D\u200Cda\u200D', 'A\u200Dda'], ['Ada\u{E0041}\u{E0042}', 'Ada'],
      ['A\uFE0F\uFE0F\uFE0Eda', 'A\uFE0Fda'], [' \uFEFF Ada \u200B ', 'Ada'], ['\u3164Ada', '\u3164Ada'],
      [`${'é'.repeat(64)}\u202C`, 'é'.repeat(64)],
    ];
    for (const [given, name] of rows) assert.equal(cleanName(given), name, JSON.stringify(given));
    for (const bad of ['', ' ', '\u200B', '\u2800', '\uFEFF', '\u3164', '\u00AD', '\u0301', '\u200D\uFE0F', '\u00A0\u202E']) {
      assert.equal(cleanName(bad), '', JSON.stringify(bad));
    }
  });

  test('by the same lists of characters', () => {
    const source = readFileSync(new URL('../../crates/protocol/src/names/display.rs', import.meta.url), 'utf8');
    const listed = (name) => {
      const [, body] = new RegExp(`fn ${name}\\(c: char\\) -> bool \\{(.*?)\\n\\}`, 's').exec(source);
      const ranges = [...body.matchAll(/'\\u\{(\w+)\}'(?:\.\.='\\u\{(\w+)\}')?/g)];
      assert.ok(ranges.length > 1, name);
      return ranges.flatMap(([, from, to = from]) => {
        const [first, last] = [from, to].map((digits) => parseInt(digits, 16));
        return Array.from({ length: last - first + 1 }, (_, n) => String.fromCodePoint(first + n));
      });
    };
    const selectors = listed('is_selector');
    for (const c of selectors) assert.equal(cleanName(`a${c}${c}b`), `a${c}b`);
    for (const c of listed('is_void').filter((one) => !selectors.includes(one))) assert.equal(cleanName(`a${c}b`), 'ab');
    for (const c of listed('is_general_mark').filter((one) => /[\p{Mn}\p{Me}]/u.test(one) && one !== '\u034F')) {
      assert.equal(cleanName(`a${c}${c}${c}b`), `a${c}${c}b`, c.codePointAt(0).toString(16));
    }
  });

  test('and clean ones stay clean', () => {
    const parts = [...'aé\u0301\u0300\u0E47\u200D\u202E\uFE0F\u200B \u3164\u{1F3F4}\u{E0067}'];
    let seed = 7;
    const random = (count) => (seed = (seed * 48_271) % 0x7fffffff) % count;
    for (let n = 0; n < 5_000; n += 1) {
      const name = cleanName(Array.from({ length: random(80) }, () => parts[random(parts.length)]).join(''));
      assert.equal(cleanName(name), name, JSON.stringify(name));
      assert.ok([...name].length <= 64);
    }
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

  test('keep it in a crowd for as long as they speak, whatever others say under it', () => {
    const book = new NameBook();
    book.setOwn('Me');
    book.labelOf('guest:bob1', 'Bob');
    for (let n = 0; n < 10_000; n += 1) {
      book.labelOf(`guest:${n}`, `name ${n}`);
      if (n % 1_000 === 0) book.labelOf('guest:bob1', 'Bob');
    }
    assert.equal(book.labelOf('guest:2222', 'Bob').tag, '2222');
    assert.equal(book.labelOf('guest:bob1', 'Bob').tag, '');
  });

  test('do not get it by typing alone', () => {
    const book = new NameBook();
    book.setOwn('Me');
    assert.deepEqual(book.lookUp('guest:2222', 'Bob'), { name: 'Bob', tag: '' });
    assert.equal(book.labelOf('guest:1111', 'Bob').tag, '', 'the first who says something has it');
    assert.equal(book.lookUp('guest:2222', 'Bob').tag, '2222');
    assert.equal(book.lookUp('guest:2222', 'me').tag, '2222');
    for (let n = 0; n < 10_000; n += 1) book.lookUp(`guest:${n}`, `name ${n}`);
    assert.equal(book.lookUp('guest:2222', 'Bob').tag, '2222', 'and nothing is forgotten');
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

test('a text keeps eight marks on a character, and the marks of scripts', () => {
  assert.equal(withoutPiles(`Z${'\u0300'.repeat(2_000)}algo`), `Z${'\u0300'.repeat(8)}algo`);
  for (const text of ['Nguye\u0302\u0303n', 'སྒྲོལ་མ', 'မြို့', '👩‍👧', '1\uFE0F\u20E3']) assert.equal(withoutPiles(text), text);
});

test('a text is long by its lines or its letters', () => {
  assert.ok(isLong('\n'.repeat(8_000)));
  assert.ok(isLong('x'.repeat(2_000)));
  assert.ok(!isLong('one\ntwo\nthree'));
  assert.ok(!isLong('x'.repeat(1_000)));
});
