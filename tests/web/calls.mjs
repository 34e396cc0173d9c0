// What listeners do in the middle of an event: for a service in virtual time and for real nodes alike.

export const MISTAKE = 'a mistake of the application';

/** By their names: calls of a client in a room. */
export const callsOn = (room) => ({
  nothing: () => {},
  leave: (client) => client.leave(room),
  'leave, join': (client) => {
    client.leave(room);
    client.join(room);
  },
  'leave, join, publish': (client) => {
    client.leave(room);
    client.join(room);
    client.publish(room, 'anew');
  },
  close: (client) => client.close(),
  'close, connect': (client) => {
    client.close();
    client.connect();
  },
  rename: (client) => client.rename(`name ${Math.random()}`),
  'rename, leave': (client) => {
    client.rename(`name ${Math.random()}`);
    client.leave(room);
  },
  publish: (client) => client.publish(room, 'in between'),
  'publish, leave': (client) => {
    client.publish(room, 'in between');
    client.leave(room);
  },
  history: (client) => void client.history(room, { before: 3 }).catch(() => {}),
  signal: (client) => client.signal(room, 1),
  'join another': (client) => client.join('another'),
  'retry all': (client) => client.pending(room).forEach(({ id }) => client.retry(room, id)),
  wake: (client) => client.wake(),
  offline: (client) => client.network(false),
  throw: () => {
    throw new Error(MISTAKE);
  },
});
