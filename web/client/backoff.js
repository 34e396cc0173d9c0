// When to come back: the delays between attempts, and what a close code asks for.

const BASE_MS = 250;
/** The longest ceiling of a delay, in milliseconds. */
export const CAP_MS = 15_000;
/** The same where a probe tells whether the node answers: it costs less than a handshake. */
export const PROBED_CAP_MS = 8_000;
/** The shortest delay after 4029, in milliseconds. */
export const TOO_MUCH_MS = 15_000;
/** The attempt from which on a client counts that is to come back slowly. */
export const SLOW_ATTEMPT = 6;
/** The close code that says: this client asks for too much. */
const TOO_MUCH = 4029;

/** Full jitter: anything from nothing to the ceiling, which doubles up to the cap. In milliseconds. */
export function backoffDelay(attempt, random = Math.random, cap = CAP_MS) {
  return random() * Math.min(cap, BASE_MS * 2 ** Math.min(attempt, 16));
}

/**
 * What a close code asks for: `resume`, `resume-slowly`, or `stop` (the same again would end the same way). A client that
 * closes by itself does not ask, so 1000 comes from a proxy; so do, as a rule, the codes of a broken protocol.
 */
export function afterClose(code) {
  if (code === 4001 || code === 4003) return 'stop';
  return [1002, 1003, 1007, 1009, TOO_MUCH].includes(code) ? 'resume-slowly' : 'resume';
}

/** How long to wait after a close, in milliseconds; `patient`: being asked to wake up does not shorten it. */
export function delayAfter(code, attempt, random, cap) {
  if (code === TOO_MUCH) return { delay: TOO_MUCH_MS * (2 - random()), patient: true };
  const slow = afterClose(code) === 'resume-slowly';
  const delay = backoffDelay(slow ? Math.max(attempt, SLOW_ATTEMPT) : attempt, random, slow ? CAP_MS : cap);
  return { delay, patient: false };
}
