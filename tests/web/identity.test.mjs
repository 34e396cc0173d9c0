// One browser is one user: also when several tabs open at the same moment, or the storage is forbidden.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { guestSecret, sharedGuest } from '../../web/roomcast.js';
import { FakeClock } from './fakes.mjs';

function storageOf(kept = new Map()) {
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
}

/** As much of IndexedDB as is used here: transactions follow each other, and requests answer in turns of their own. */
function fakeDatabase({ fails = false, hangs = false } = {}) {
  const kept = new Map();
  let last = Promise.resolve();
  const request = (work) => {
    const one = {};
    if (hangs) return one;
    setImmediate(() => {
      if (fails) return one.onerror?.();
      one.result = work(one);
      one.onsuccess();
    });
    return one;
  };
  return {
    kept,
    open: () => request(() => ({
      close() {},
      transaction() {
        let done;
        const before = last;
        last = new Promise((resolve) => (done = resolve));
        const inTurn = (work) => {
          const one = {};
          before.then(() => setImmediate(() => {
            one.result = work();
            one.onsuccess();
          }));
          return one;
        };
        // It ends when nothing more is asked of it.
        const store = {
          get: (key) => inTurn(() => {
            const value = kept.get(key);
            if (value) setImmediate(done);
            return value;
          }),
          put: (value, key) => inTurn(() => {
            kept.set(key, value);
            setImmediate(done);
          }),
        };
        return { objectStore: () => store };
      },
    })),
  };
}

describe('the shared guest', () => {
  test('is one for tabs that open at the same moment, although each sees a storage that is empty yet', async () => {
    const database = fakeDatabase();
    const tabs = Array.from({ length: 8 }, () => storageOf());
    const secrets = await Promise.all(tabs.map((storage) => sharedGuest({ storage, database })));
    assert.equal(new Set(secrets).size, 1);
    assert.match(secrets[0], /^[0-9a-f]{32}$/);
    for (const storage of tabs) assert.equal(guestSecret(storage), secrets[0], 'the storage follows');
  });

  test('is the one that this browser has had before', async () => {
    const storage = storageOf(new Map([['roomcast.guest', 'kept since long']]));
    assert.equal(await sharedGuest({ storage, database: fakeDatabase() }), 'kept since long');
  });

  test("is the page's own where there is no database, or a broken one, or no storage at all", async () => {
    for (const database of [undefined, fakeDatabase({ fails: true })]) {
      const storage = storageOf();
      assert.equal(await sharedGuest({ storage, database }), guestSecret(storage));
    }
    assert.match(await sharedGuest({ storage: undefined, database: undefined }), /^[0-9a-f]{32}$/);
    const forbidden = { getItem() { throw new Error('SecurityError'); }, setItem() { throw new Error('SecurityError'); } };
    const database = fakeDatabase();
    const [first, second] = [
      await sharedGuest({ storage: forbidden, database }), await sharedGuest({ storage: forbidden, database }),
    ];
    assert.equal(first, second, 'the database alone is enough');
  });

  test('does not wait for a database that never answers', async () => {
    const clock = new FakeClock();
    const storage = storageOf();
    const secret = sharedGuest({ storage, database: fakeDatabase({ hangs: true }), clock });
    clock.advance(1_500);
    assert.equal(await secret, guestSecret(storage));
    assert.equal(clock.size, 0);
  });
});
