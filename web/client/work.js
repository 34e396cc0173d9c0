// What a session still has to do, in order: commands for its shell first, then events to tell and the work that follows
// each of them. Between two events the application's listeners run. They may leave the room or end the connection for
// which the rest was meant, so that is looked at again before each entry.

export class Work {
  #commands = [];
  #entries = [];
  #timers = new Map();

  /** Something for the shell to do, whatever listeners do meanwhile. */
  command(effect) {
    this.#commands.push(effect);
  }

  /** An event; of a `room`, it is told only while the client has not left it. */
  tell(event, detail, room = null) {
    this.#entries.push({ tell: { do: 'tell', event, detail, room }, room });
  }

  /** The same before all that waits: what is told has just become true, and a listener's call in between would undo it. */
  tellNext(event, detail, room) {
    this.#entries.unshift({ tell: { do: 'tell', event, detail, room }, room });
  }

  /** Nothing that waits to be told of a room is told any more. */
  dropRoomEvents() {
    this.#entries = this.#entries.filter(({ tell, room }) => !tell || !room);
  }

  /** Work behind the events so far, for as long as `connection` is the present one and its room has not been left. */
  then(connection, room, run) {
    this.#entries.push({ run, room, connection });
  }

  /** The next effect; null when there is nothing. */
  poll(connection) {
    for (;;) {
      if (this.#commands.length > 0) return this.#commands.shift();
      if (this.#entries.length === 0) return null;
      const { tell, run, room, connection: meant } = this.#entries.shift();
      if (room?.left || (run && meant !== connection)) continue;
      if (tell) return tell;
      run();
    }
  }

  /** Has `action` done after `ms`, instead of what the timer was to do before. */
  arm(timer, ms, action) {
    this.#timers.set(timer, action);
    this.command({ do: 'arm', timer, ms });
  }

  disarm(timer) {
    if (this.#timers.delete(timer)) this.command({ do: 'disarm', timer });
  }

  isArmed(timer) {
    return this.#timers.has(timer);
  }

  /** A timer has run out. */
  expire(timer) {
    const action = this.#timers.get(timer);
    this.#timers.delete(timer);
    action?.();
  }
}
