// A service in virtual time, as the protocol describes it: rooms with logs and epochs, publishes by their ids. It is honest
// about everything except what a script asks it to break.

/** Frames in either direction take this long, in milliseconds, and stay in order. */
const WAY_MS = 5;

export class Service {
  #clock;
  #sessions = new Set();
  #rooms = new Map();

  /** Whether an `ack` goes out before the message that it is for. */
  ackFirst = false;
  /** What becomes of the next publishes and joins: error codes, used up one by one. */
  publishFaults = [];
  joinFaults = [];
  /** The ids that were ever logged. */
  logged = new Set();

  constructor(clock) {
    this.#clock = clock;
  }

  /** The class of sockets that lead here. */
  get sockets() {
    const service = this;
    return class {
      readyState = 0;

      constructor(url) {
        this.session = { socket: this, user: new URL(url).searchParams.get('guest'), rooms: new Set() };
        service.#later(() => service.#accept(this.session));
      }

      send(text) {
        if (this.readyState !== 1) throw new Error('sent on a socket that is not open');
        service.sent?.(JSON.parse(text));
        service.#later(() => this.readyState === 1 && service.#receive(this.session, JSON.parse(text)));
      }

      close() {
        this.readyState = 3;
        service.#sessions.delete(this.session);
      }
    };
  }

  room(name) {
    if (!this.#rooms.has(name)) this.#rooms.set(name, { epoch: '', first: 1, log: [] });
    return this.#rooms.get(name);
  }

  head(name) {
    const { epoch, first, log } = this.room(name);
    return { epoch, seq: first + log.length - 1 };
  }

  /** Another user says something. */
  say(name, text) {
    this.#append(name, { id: `other ${text}`, from: 'other', name: 'Other', at: 0, body: { text } });
  }

  /** All connections end. */
  cut(code) {
    for (const session of [...this.#sessions]) {
      this.#sessions.delete(session);
      this.#later(() => this.#end(session, code));
    }
  }

  /** What was logged is gone: the room goes on in another epoch. */
  forget(name) {
    const room = this.room(name);
    Object.assign(room, { epoch: `${room.epoch}'`, log: [], first: 1 });
  }

  drain() {
    for (const session of this.#sessions) this.#tell(session, { type: 'draining', within_ms: 50 });
    this.#clock.setTimeout(() => this.cut(1012), 50);
  }

  /** The service loses a session's membership. */
  expel(name) {
    for (const session of this.#sessions) session.rooms.delete(name);
  }

  signal(name) {
    this.#toMembers(name, { type: 'signal', room: name, from: 'other', body: 1 });
  }

  /** Something is said about a session's signals, which are of no publish. */
  complain(name) {
    this.#toMembers(name, { type: 'error', code: 'rate_limited', message: 'too many signals', retry: true, room: name });
  }

  #later(action) {
    this.#clock.setTimeout(action, WAY_MS);
  }

  #tell(session, frame) {
    this.#later(() => session.socket.readyState === 1 && session.socket.onmessage({ data: JSON.stringify(frame) }));
  }

  #toMembers(name, frame) {
    for (const session of this.#sessions) if (session.rooms.has(name)) this.#tell(session, frame);
  }

  #end({ socket }, code) {
    if (socket.readyState === 3) return;
    socket.readyState = 3;
    socket.onclose({ code, reason: '' });
  }

  #accept(session) {
    if (session.socket.readyState === 3) return;
    session.socket.readyState = 1;
    this.#sessions.add(session);
    this.#tell(session, { type: 'welcome', session: 's', user: session.user, node: 'n', heartbeat_ms: 25_000, max_body: 200 });
    session.socket.onopen();
  }

  #receive(session, frame) {
    if (!this.#sessions.has(session)) return;
    switch (frame.type) {
      case 'ping': return this.#tell(session, { type: 'pong', ref: frame.ref });
      case 'join': return this.#join(session, frame);
      case 'leave':
        session.rooms.delete(frame.room);
        return this.#tell(session, { type: 'left', room: frame.room });
      case 'publish': return this.#publish(session, frame);
      case 'history': {
        const messages = this.room(frame.room).log.slice(-frame.limit);
        return this.#tell(session, { type: 'history', room: frame.room, messages, more: false, ref: frame.ref });
      }
      default:
    }
  }

  #join(session, { room: name, after, history = 0, ref }) {
    session.rooms.delete(name);
    const fault = this.joinFaults[0]?.room === name && this.joinFaults.shift();
    if (fault) return this.#tell(session, { type: 'error', message: fault.code, room: name, ref, ...fault });
    const { log, epoch, first } = this.room(name);
    const position = this.head(name);
    session.rooms.add(name);
    if (after && (after.epoch || epoch) !== epoch) {
      this.#tell(session, { type: 'joined', room: name, position, recovered: false, replayed: 0, ref });
      return this.#tell(session, { type: 'reset', room: name, position });
    }
    const replayed = after ? log.slice(after.seq - first + 1) : log.slice(Math.max(0, log.length - history));
    this.#tell(session, { type: 'joined', room: name, position, recovered: true, replayed: replayed.length, ref });
    for (const message of replayed) this.#tell(session, message);
  }

  #publish(session, { room: name, id, body }) {
    const answer = (frame) => this.#tell(session, { room: name, id, ...frame });
    if (!session.rooms.has(name)) return answer({ type: 'error', code: 'not_joined', message: 'no', retry: false });
    const known = this.room(name).log.find((message) => message.id === id && message.from === session.user);
    if (known) return answer({ type: 'ack', seq: known.seq });
    const fault = this.publishFaults.shift();
    if (fault) return answer({ type: 'error', message: fault.code, ...fault });
    this.logged.add(id);
    const seq = this.head(name).seq + 1;
    if (this.ackFirst) answer({ type: 'ack', seq });
    this.#append(name, { id, from: session.user, name: 'Me', at: 0, body });
    if (!this.ackFirst) answer({ type: 'ack', seq });
  }

  #append(name, fields) {
    const room = this.room(name);
    if (!room.epoch) {
      room.epoch = '1.a';
      this.#toMembers(name, { type: 'reset', room: name, position: { epoch: room.epoch, seq: 0 } });
    }
    const message = { type: 'message', room: name, seq: this.head(name).seq + 1, ...fields };
    room.log.push(message);
    this.#toMembers(name, message);
  }
}
