// What this browser remembers from one visit to the next. Private windows may forbid it: then the page asks again.

const keyOf = (name) => `roomcast.${name}`;

/** The browser's storage, or undefined where it is forbidden. */
export function storage() {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}

export function remembered(name) {
  try {
    return localStorage.getItem(keyOf(name)) ?? '';
  } catch {
    return '';
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(keyOf(name), value);
  } catch {
    // The page asks again next time.
  }
}
