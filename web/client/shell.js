// What a session asks for, done: sockets, timers, probes, and the application's listeners, whose mistakes stop nothing.

const OPEN = 1;

export class Shell {
  #session;
  #platform;
  #socket = null;
  #timers = new Map();
  #listeners = new Map();
  #inbox = []; // what happened while the session was being served
  #serving = false;

  /** `platform`: WebSocket, protocols, clock, probe and reportError. */
  constructor(session, platform) {
    [this.#session, this.#platform] = [session, platform];
  }

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  /** A call of the application: the session is told at once, and what follows is done when this is not in its midst. */
  call(handle) {
    const answer = handle(this.#session);
    this.#serve();
    return answer;
  }

  /** The same for a publish: that it has failed is not told before the caller knows its id. */
  callQuietly(handle) {
    const answer = handle(this.#session);
    this.#serve(true);
    queueMicrotask(() => this.#serve());
    return answer;
  }

  /** Something has happened: the session hears of it when all that came before is done. */
  #happened(handle) {
    this.#inbox.push(handle);
    this.#serve();
  }

  #serve(quiet = false) {
    if (this.#serving) return;
    this.#serving = true;
    try {
      for (;;) {
        const effect = this.#session.poll(quiet);
        if (effect) this[effect.do](effect);
        else if (this.#inbox.length > 0) this.#inbox.shift()(this.#session);
        else return;
      }
    } finally {
      this.#serving = false;
    }
  }

  // --- effects, by their names ------------------------------------------------------------------------------------

  open({ url }) {
    const { WebSocket, protocols } = this.#platform;
    let socket;
    try {
      socket = new WebSocket(url, protocols);
    } catch (mistake) {
      this.#report(mistake);
      return this.#inbox.push((session) => session.link.handleUnusable(mistake.message));
    }
    this.#socket = socket;
    const ours = (handle) => (event) => {
      if (socket === this.#socket) this.#happened((session) => socket === this.#socket && handle(session, event));
    };
    socket.onopen = ours((session) => session.handleOpened());
    socket.onmessage = ours((session, { data }) => session.handleText(data));
    socket.onclose = ours((session, { code, reason }) => session.link.handleClosed(code, reason));
  }

  drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** A socket that is closing takes nothing; that it is closed comes next. */
  send({ text }) {
    if (this.#socket?.readyState === OPEN) this.#socket.send(text);
  }

  probe({ probe }) {
    const answered = (answers) => this.#happened((session) => session.link.handleProbed(probe, answers));
    Promise.resolve().then(this.#platform.probe).then((answers) => answered(answers === true), () => answered(false));
  }

  arm({ timer, ms }) {
    this.disarm({ timer });
    const { clock } = this.#platform;
    this.#timers.set(timer, clock.setTimeout(() => {
      this.#timers.delete(timer);
      this.#happened((session) => session.handleTimer(timer));
    }, ms));
  }

  disarm({ timer }) {
    if (!this.#timers.has(timer)) return;
    this.#platform.clock.clearTimeout(this.#timers.get(timer));
    this.#timers.delete(timer);
  }

  answer({ request, value, error }) {
    if (error) request.reject(error);
    else request.resolve(value);
  }

  tell({ event, detail, room }) {
    for (const listener of this.#listeners.get(event) ?? []) {
      if (room?.left) return;
      try {
        listener(detail);
      } catch (mistake) {
        this.#report(mistake);
      }
    }
  }

  #report(mistake) {
    (this.#platform.reportError ?? globalThis.reportError ?? console.error)(mistake);
  }
}
