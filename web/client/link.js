// One connection after another: when to open one, how to find out that it is dead, when to come back. Pure: sockets,
// timers and probes are effects. It knows nothing of rooms.

import { afterClose, CAP_MS, delayAfter, PROBED_CAP_MS } from './backoff.js';

/** A connection that lasted this long counts as good: the backoff starts again from its base. */
const STABLE_MS = 10_000;
/** How long a handshake may take, from the constructor to `welcome`. */
const OPENING_MS = 10_000;
/** How long a ping waits for its `pong`. */
const PONG_MS = 5_000;
/** How long a probe may take. */
const PROBE_MS = 5_000;

export class Link {
  state = { kind: 'idle' };
  /** The present connection, from its opening on: {open}. */
  connection = null;

  #phase = 'idle'; // as in `state`, which is `offline` instead while the browser says so
  #online = true;
  #attempt = 0;
  #failures = 0; // connections in a row that were not welcomed
  #probing = null; // the probe under way
  #probes = 0;
  #patient = false;
  #heard = false;
  #due = 0; // when the wait is over

  /** `canProbe`: the shell can find out whether the node answers. `onLost` is called when a connection is gone. */
  constructor({ work, random, now, address, canProbe, ping, onLost }) {
    Object.assign(this, { work, random, now, address, canProbe, ping, onLost });
  }

  get isOpen() {
    return this.connection?.open === true;
  }

  /** Whatever the backoff says. */
  handleConnect() {
    this.work.disarm('reconnect');
    if (this.connection || this.#probing) return;
    // A browser holds a WebSocket back after failed ones, so those that would fail are not made.
    if (this.canProbe && (this.#failures > 0 || !this.#online)) this.#probe();
    else this.#open();
  }

  /** After this nothing but the state is told. */
  handleClose() {
    this.work.disarm('reconnect');
    this.work.dropRoomEvents();
    this.#letGo();
    this.#enter('idle');
  }

  /** The address has changed: a connection takes another one's place, or that of one that was refused for good. */
  handleAddressChanged() {
    if (!this.connection && this.#phase !== 'closed') return;
    this.#letGo();
    this.handleConnect();
  }

  /** The machine woke up: find out now whether the connection still lives. */
  handleWake() {
    if (this.#phase === 'waiting' && !this.#patient) this.handleConnect();
    else if (this.#phase === 'live') this.#sendPing();
  }

  /** The browser says whether there is a network. It is believed at once, and what is heard proves it wrong. */
  handleNetwork(online) {
    if (online === this.#online) return this.handleWake();
    if (online) {
      // Until something is heard the state stays: only the word of the node says that it is back.
      if (this.#phase !== 'live') this.#believe();
      return this.handleWake();
    }
    this.#online = false;
    if (this.#phase === 'idle' || this.#phase === 'closed') return;
    this.#enter(this.#phase, this.#details());
    if (this.#phase === 'live') this.#sendPing();
  }

  handleOpened() {
    this.connection.open = true;
  }

  /** Something came, whatever it is. */
  handleHeard() {
    this.#heard = true;
    if (this.work.isArmed('pong')) this.#awaitPong();
    if (this.#phase === 'live') this.#believe();
  }

  handleWelcome(heartbeat) {
    this.work.disarm('opening');
    this.work.arm('stable', STABLE_MS, () => (this.#attempt = 0));
    this.#failures = 0;
    this.#online = true;
    this.#watch(heartbeat);
    this.#enter('live');
  }

  handlePong() {
    this.work.disarm('pong');
  }

  handleClosed(code, reason) {
    this.#letGo();
    if (afterClose(code) === 'stop') this.#enter('closed', { code, reason });
    else this.#comeBack(code, reason);
  }

  /** No socket could be made: the address is wrong, which no later attempt mends. */
  handleUnusable(reason) {
    this.#letGo();
    this.#enter('closed', { code: 1006, reason });
  }

  handleProbed(probe, answers) {
    if (this.#probing !== probe) return;
    this.#endProbe();
    if (answers) this.#open(true);
    else this.#comeBack(1006, 'the node does not answer');
  }

  /** Takes the connection for dead, without waiting for the close handshake that a dead one never finishes. */
  abandon(reason) {
    this.#letGo();
    this.#comeBack(1006, reason);
  }

  #probe() {
    const probe = ++this.#probes;
    this.#probing = probe;
    this.work.command({ do: 'probe', probe });
    this.work.arm('probe', PROBE_MS, () => this.handleProbed(probe, false));
    this.#enter('connecting');
  }

  #endProbe() {
    this.#probing = null;
    this.work.disarm('probe');
  }

  #open(answers = false) {
    this.connection = { open: false, welcomed: false };
    this.work.command({ do: 'open', url: this.address() });
    this.work.arm('opening', OPENING_MS, () => this.abandon('no answer'));
    this.#enter('connecting', answers ? { answers } : {});
  }

  #comeBack(code, reason) {
    const cap = this.canProbe && this.#failures > 0 ? PROBED_CAP_MS : CAP_MS;
    const { delay, patient } = delayAfter(code, this.#attempt, this.random, cap);
    this.#attempt += 1;
    this.#patient = patient;
    this.#due = this.now() + delay;
    this.work.arm('reconnect', delay, () => this.handleConnect());
    this.#enter('waiting', { delay, code, reason });
  }

  /** Drops the socket and all that belonged to it. */
  #letGo() {
    if (this.#probing) this.#endProbe();
    if (!this.connection) return;
    if (this.#phase === 'connecting') this.#failures += 1;
    this.connection = null;
    this.work.command({ do: 'drop' });
    for (const timer of ['opening', 'stable', 'idle', 'pong']) this.work.disarm(timer);
    this.onLost();
  }

  /** Browsers do not show the server's pings to a page: silence is broken with a ping of our own. */
  #watch(heartbeat) {
    this.#heard = false;
    this.work.arm('idle', heartbeat, () => {
      if (!this.#heard) this.#sendPing();
      this.#watch(heartbeat);
    });
  }

  #sendPing() {
    if (this.work.isArmed('pong')) return;
    this.ping();
    this.#awaitPong();
  }

  /** Other frames give the pong, which may queue behind them, more time. */
  #awaitPong() {
    this.work.arm('pong', PONG_MS, () => {
      this.#letGo();
      this.handleConnect();
    });
  }

  /** The network is there, whatever was said. */
  #believe() {
    if (this.#online) return;
    this.#online = true;
    this.#enter(this.#phase, this.#details());
  }

  /** What is told of the present phase, as it is now. */
  #details() {
    const { kind, connected, ...details } = this.state;
    if (this.#phase === 'waiting') details.delay = Math.max(0, this.#due - this.now());
    return details;
  }

  #enter(phase, details = {}) {
    this.#phase = phase;
    const hidden = !this.#online && phase !== 'idle' && phase !== 'closed';
    this.state = hidden ? { kind: 'offline', connected: phase === 'live', ...details } : { kind: phase, ...details };
    this.work.tell('state', this.state);
  }
}
