// A clock that moves only when told, and sockets whose other end is the test.

import { Roomcast } from '../../web/roomcast.js';

/** All that a client tells. */
export const EVENTS = [
  'state', 'draining', 'joined', 'live', 'reset', 'message', 'signal', 'ack', 'pending', 'failed', 'refused', 'error',
];

export class FakeClock {
  now = 0;
  #timers = new Map();
  #next = 1;

  setTimeout(action, ms) {
    this.#timers.set(this.#next, { at: this.now + ms, action });
    return this.#next++;
  }

  clearTimeout(id) {
    this.#timers.delete(id);
  }

  get size() {
    return this.#timers.size;
  }

  /** Lets time pass; what falls due runs at its own time, in order. */
  advance(ms) {
    const end = this.now + ms;
    for (;;) {
      let due = null;
      for (const [id, { at, action }] of this.#timers) if (at <= end && !(due?.at <= at)) due = { id, at, action };
      if (!due) break;
      this.#timers.delete(due.id);
      this.now = due.at;
      due.action();
    }
    this.now = end;
  }
}

/** A client under test with its world: `sockets` it has made, newest last, and the `events` it has told. */
export function world(options = {}) {
  const clock = new FakeClock();
  const sockets = [];
  const events = [];
  const errors = []; // what listeners have thrown

  class FakeSocket {
    readyState = 0;
    sent = [];

    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      sockets.push(this);
    }

    send(text) {
      if (this.readyState !== 1) throw new Error('sent on a socket that is not open');
      this.sent.push(JSON.parse(text));
      this.lastText = text;
    }

    close(code) {
      this.closedWith ??= code;
      this.readyState = 3;
    }

    // The server's side of it.

    open() {
      this.readyState = 1;
      this.onopen();
    }

    tell(frame) {
      this.onmessage({ data: JSON.stringify(frame) });
    }

    end(code, reason = '') {
      this.readyState = 3;
      this.onclose({ code, reason });
    }

    /** Opens, and welcomes as user `u1`. */
    welcome(more = {}) {
      this.open();
      const limits = { heartbeat_ms: 25_000, max_body: 16_384 };
      this.tell({ type: 'welcome', session: 's', user: 'u1', node: 'n1', ...limits, ...more });
    }

    /** Answers the newest join of a room. */
    joined(room, seq, { epoch = '1.a', replayed = 0, recovered = true } = {}) {
      const { ref } = this.of('join').findLast((frame) => frame.room === room);
      this.tell({ type: 'joined', room, position: { epoch, seq }, recovered, replayed, ref });
    }

    message(room, seq, { id = `m${seq}`, from = 'u2', body = { text: `text ${seq}` } } = {}) {
      this.tell({ type: 'message', room, seq, id, from, name: 'N', at: 1_760_000_000_000 + seq, body });
    }

    of(type) {
      return this.sent.filter((frame) => frame.type === type);
    }
  }

  const platform = { WebSocket: FakeSocket, clock, now: () => clock.now, random: () => 0.5 };
  const given = { url: 'ws://host/ws', name: 'Ada', guest: 'secret', ...platform };
  const client = new Roomcast({ ...given, reportError: (error) => errors.push(error), ...options });
  for (const kind of EVENTS) {
    client.on(kind, (detail) => events.push({ event: kind, ...detail }));
  }
  return {
    client, clock, sockets, events, errors,
    get socket() {
      return sockets.at(-1);
    },
    told: (kind) => events.filter((one) => one.event === kind),
    seqs: () => events.filter((one) => one.event === 'message').map((one) => one.message.seq),
  };
}

/** A world whose client is live in `lobby` at `seq`. */
export function liveWorld(seq = 10, options) {
  const w = world(options);
  w.client.join('lobby');
  w.client.connect();
  w.socket.welcome();
  w.socket.joined('lobby', seq);
  return w;
}
