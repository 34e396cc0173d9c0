// Who this browser is: random ids, and the secret that makes all its tabs one user.

const KEY = 'roomcast.guest';
/** How long the browser's database may take before the page goes on without it, in milliseconds. */
const PATIENCE_MS = 1_500;

/** A random UUID. Pages on plain http (other than localhost) have no `randomUUID`. */
export function randomId(crypto = globalThis.crypto) {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A secret that was never used before. */
export const freshSecret = (crypto) => randomId(crypto).replaceAll('-', '');

/**
 * The secret that makes this browser one user after a reload. Storage may be forbidden. Tabs that open at the same moment
 * may each make one: `sharedGuest` excludes that.
 */
export function guestSecret(storage, crypto = globalThis.crypto) {
  const fresh = freshSecret(crypto);
  try {
    const kept = storage.getItem(KEY);
    if (kept) return kept;
    storage.setItem(KEY, fresh);
  } catch {
    // A user for this page's lifetime, then.
  }
  return fresh;
}

const settled = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** The value under a key, or else `fresh`, which is then kept: one transaction, so that all tabs get the same. */
async function keptOrFresh(database, fresh) {
  const opening = database.open('roomcast', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('kept');
  const opened = await settled(opening);
  try {
    const store = opened.transaction('kept', 'readwrite').objectStore('kept');
    const kept = await settled(store.get(KEY));
    if (!kept) await settled(store.put(fresh, KEY));
    return kept ?? fresh;
  } finally {
    opened.close();
  }
}

/**
 * The secret that makes this browser one user in all its tabs, also in those that open at the same moment. `localStorage`
 * cannot decide that, because each tab's process has a copy of it; the database's transactions can.
 */
export async function sharedGuest({ storage, database, crypto = globalThis.crypto, clock = globalThis }) {
  const own = guestSecret(storage, crypto);
  let timer;
  const patience = new Promise((resolve) => (timer = clock.setTimeout(() => resolve(own), PATIENCE_MS)));
  try {
    const secret = await Promise.race([keptOrFresh(database, own), patience]);
    if (secret !== own) keep(storage, secret);
    return secret;
  } catch {
    return own;
  } finally {
    clock.clearTimeout(timer);
  }
}

function keep(storage, secret) {
  try {
    storage.setItem(KEY, secret);
  } catch {
    // The database has it.
  }
}
