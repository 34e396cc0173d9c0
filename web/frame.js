// What stands around the rows: the line that tells of the connection, the notes above and below, the title.

import { MAX_ROWS } from './messages.js';
import { statusOf } from './status.js';

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

export class Frame {
  #$;
  #list;
  #conversation;
  #scroller;
  #since = Date.now(); // when the connection came into its state
  #retryAt = 0;
  #draining = false;

  /** `$` gives the page's element of an id. */
  constructor({ $, list, conversation, scroller }) {
    [this.#$, this.#list, this.#conversation, this.#scroller] = [$, list, conversation, scroller];
  }

  onState({ kind, delay }) {
    this.#draining = false;
    this.#since = Date.now();
    this.#retryAt = kind === 'waiting' ? this.#since + delay : 0;
  }

  onDraining() {
    this.#draining = true;
  }

  /** All of it. `node`: what people call the node behind the page. */
  show({ client, room, node }) {
    this.showStatus({ client, node });
    this.#showTop();
    this.#showUnsent(client, room);
    this.#showPill();
    const { unread } = this.#conversation;
    document.title = `${unread ? `(${unread}) ` : ''}${room ? `${room} · ` : ''}Roomcast`;
  }

  showStatus({ client, node }) {
    const [$, now] = [this.#$, Date.now()];
    const about = { node, live: this.#conversation.isLive, draining: this.#draining, since: now - this.#since };
    const { kind, label, action } = statusOf(client?.state ?? { kind: 'idle' }, about);
    $('status').dataset.kind = kind;
    $('status').title = client?.node ? `The node's id is ${client.node}` : '';
    $('app').dataset.live = kind === 'live' ? 'yes' : 'no';
    if ($('status-text').textContent !== label) $('status-text').textContent = label;
    const seconds = Math.ceil((this.#retryAt - now) / 1_000);
    $('status-count').textContent = kind === 'waiting' && seconds > 0 ? `in ${seconds} s` : '';
    $('status-action').hidden = !action;
    $('status-action').textContent = action ?? '';
  }

  #showTop() {
    const [$, list, conversation] = [this.#$, this.#list, this.#conversation];
    const hadFocus = document.activeElement === $('earlier');
    $('earlier').hidden = !conversation.canLoadEarlier;
    if (hadFocus && $('earlier').hidden) this.#scroller.focus();
    let note = '';
    if (list.isFull) note = `This page shows the newest ${MAX_ROWS.toLocaleString()} messages`;
    else if (list.first && conversation.isWhole) note = list.first.seq === 1 ? 'The beginning of the room' : 'The oldest kept';
    $('top-note').textContent = note;
    $('top-note').hidden = !note;
    $('empty').hidden = !conversation.isLive || !list.isEmpty;
  }

  #showUnsent(client, room) {
    const $ = this.#$;
    const pending = client?.pending(room) ?? [];
    const failed = pending.filter(({ state }) => state === 'failed').length;
    const waiting = pending.length - failed;
    const parts = [];
    // A moment's wait for the acknowledgement is no news.
    if (waiting && client.state.kind !== 'live') parts.push(`${plural(waiting, 'message waits', 'messages wait')} to be sent`);
    if (failed) parts.push(`${plural(failed, 'message was', 'messages were')} not sent`);
    const label = parts.join(' · ');
    if ($('unsent').textContent !== label) $('unsent').textContent = label;
    $('unsent').hidden = !label;
  }

  #showPill() {
    const [$, { unseen }] = [this.#$, this.#conversation];
    $('pill').hidden = this.#list.follow;
    $('pill').textContent = unseen ? plural(unseen, 'new message', 'new messages') : 'Jump to newest';
    $('pill').classList.toggle('news', unseen > 0);
  }
}
