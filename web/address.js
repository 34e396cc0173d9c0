// What the page's address asks for. A link may name a room and, for those who have no name yet, a name.

import { cleanName } from './names.js';
import { ROOM_NAME } from './roomcast.js';

/**
 * Reads an address. `now`: name and room of the page, empty before it has entered; `kept`: those of the last visit. Gives
 * `enter`: whether name and room are known; both as far as they are; and `proposed`, a name that the link would rather have.
 */
export function readAddress({ hash, search }, now, kept) {
  const asked = new URLSearchParams(hash.slice(1) || search);
  const own = now.name || cleanName(kept.name);
  const fromLink = cleanName(asked.get('name') ?? '');
  const room = asked.get('room') ?? now.room;
  const name = own || fromLink;
  return {
    enter: Boolean(name) && ROOM_NAME.test(room),
    name,
    room: room || kept.room || 'lobby',
    proposed: own && fromLink && fromLink !== own ? fromLink : '',
  };
}
