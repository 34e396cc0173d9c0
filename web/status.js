// The line that says how the connection is, and what the page waits for.

/** An attempt that takes longer than this, in milliseconds, is worth a word. */
const LONG_MS = 3_000;

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

/** {kind, label, action}: how the line looks, what it says, and what its button does. `since`: ms in this state. */
export function statusOf(state, { node, live, draining, since }) {
  const here = node || 'the node';
  switch (state.kind) {
    case 'connecting':
      if (since < LONG_MS) return { kind: 'busy', label: 'connecting…' };
      if (state.answers) return { kind: 'busy', label: `${here} is back, waiting for the browser to connect…` };
      return { kind: 'busy', label: `waiting for ${here} to answer…` };
    case 'live':
      if (!live) return { kind: 'busy', label: 'catching up…' };
      if (draining) return { kind: 'busy', label: `${here} restarts, moving on soon` };
      return { kind: 'live', label: node ? `live on ${node}` : 'live' };
    case 'offline':
      return { kind: 'offline', label: 'offline', action: 'Try now' };
    case 'waiting':
      return { kind: 'waiting', label: waitingFor(state, here), action: 'Try now' };
    case 'closed':
      return { kind: 'offline', ...closedBy(state) };
    default:
      return { kind: 'idle', label: 'not connected' };
  }
}

function waitingFor({ code }, here) {
  if (code === 1013) return `${here} is full, reconnecting`;
  if (code === 4029) return 'this page sent too much, reconnecting';
  return code === 1006 ? `${here} does not answer, reconnecting` : 'reconnecting';
}

function closedBy({ code, reason }) {
  if (code === 4001) return { label: sentence(reason || 'not signed in'), action: 'Try again' };
  if (code === 4003) return { label: 'not allowed here', action: 'Try again' };
  return { label: `closed by the server (${code})`, action: 'Connect' };
}
