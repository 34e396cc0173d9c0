// The room being shown: what the client tells of it becomes rows, and the past is read when the user scrolls to it.

/** Messages that one look into the past brings. */
export const HISTORY = 50;

/** What is known of the room being shown. Another room starts with a new one. */
const freshView = () => ({
  live: false, // joined, and the replay is over
  known: false, // has been live: what comes from now on is news
  more: false, // the server has messages before the first one shown
  loading: false,
  resetFollows: false, // the join could not resume
});

export class Conversation {
  /** New messages below the fold, and since the window was last looked at. */
  unseen = 0;
  unread = 0;

  #view = freshView();
  #list;
  #client = null;
  #room = '';
  #page;

  /** `page`: what it can be asked for: `announce` (read new messages aloud: true or false), `refresh`, `toast`. */
  constructor({ list, page }) {
    [this.#list, this.#page] = [list, page];
  }

  get isLive() {
    return this.#view.live;
  }

  /** Whether nothing at all precedes the first message shown. */
  get isWhole() {
    return this.#view.live && !this.#view.more;
  }

  isOwn = ({ from }) => from === this.#client.user;

  /** Shows another room. */
  enter(client, room) {
    [this.#client, this.#room] = [client, room];
    this.#view = freshView();
    this.unseen = 0;
    this.#list.clear();
  }

  /** Numbers mean messages within one epoch only, so nothing is read back across a gap between epochs. */
  get canLoadEarlier() {
    const { first, isFull } = this.#list;
    return this.#view.live && this.#view.more && !isFull && first !== undefined && first.epoch === this.#epoch;
  }

  async loadEarlier() {
    if (!this.canLoadEarlier || this.#view.loading) return;
    const [shown, { seq, epoch }] = [this.#view, this.#list.first];
    shown.loading = true;
    this.#page.announce(false);
    try {
      const { messages, more } = await this.#client.history(this.#room, { before: seq }, HISTORY);
      if (shown !== this.#view || this.#list.first?.seq !== seq) return;
      this.#list.prepend(messages, this.isOwn, epoch);
      shown.more = more;
    } catch (error) {
      if (shown === this.#view && shown.live) this.#page.toast(`Earlier messages could not be loaded: ${error.message}.`);
    } finally {
      shown.loading = false;
      this.#page.announce(this.isLive);
      this.#page.refresh();
    }
  }

  // --- what the client tells ------------------------------------------------------------------------------------

  onState({ kind, connected }) {
    if (kind === 'live' || connected) return;
    this.#view.live = false;
    this.#page.announce(false);
  }

  onJoined({ position, recovered, replayed }) {
    this.#view.resetFollows = !recovered;
    if (!this.#list.first) this.#view.more = replayed >= HISTORY && position.seq > replayed;
  }

  onLive() {
    this.#view.live = true;
    this.#view.known = true;
    this.#page.announce(true);
    this.#page.refresh();
  }

  onMessage({ message }) {
    this.#list.append(message, this.isOwn(message), this.#epoch);
    if (this.#view.known && !this.isOwn(message)) {
      if (!this.#list.follow) this.unseen += 1;
      if (document.hidden) this.unread += 1;
    }
    this.#page.refresh();
  }

  /** The session goes on from elsewhere. What a failed resume has left out is read back as far as one page goes. */
  async onReset({ position }) {
    const [shown, failedResume, last] = [this.#view, this.#view.resetFollows, this.#list.last];
    shown.resetFollows = false;
    this.#list.dropAcknowledged(position.seq);
    let gap = null;
    if (last && (last.epoch !== position.epoch || last.seq !== position.seq)) {
      const anew = !failedResume && last.epoch !== position.epoch;
      gap = this.#list.appendGap(anew ? 'The history starts anew here' : 'The history has a gap here');
    }
    this.#page.refresh();
    if (!failedResume || position.seq === 0) return;
    try {
      const { messages, more } = await this.#client.history(this.#room, { before: position.seq + 1 }, HISTORY);
      if (shown !== this.#view) return;
      const closed = last?.epoch === position.epoch && messages[0]?.seq <= last.seq + 1;
      this.#list.fill(gap, messages, this.isOwn, position.epoch, closed);
      if (!last) shown.more = more;
      this.#page.refresh();
    } catch {
      // The connection is lost again; the gap stays marked.
    }
  }

  get #epoch() {
    return this.#client.position(this.#room)?.epoch;
  }
}
