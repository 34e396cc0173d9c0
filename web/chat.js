// The chat page: what the protocol client tells and what the user does, on the screen.

import { element, initialOf, MAX_ROWS, MessageList } from './messages.js';
import { guestSecret, ROOM_NAME, Roomcast, socketUrl } from './roomcast.js';
import { Typing, typingKey } from './typing.js';

/** Messages that one look into the past brings. */
const HISTORY = 50;
/** This close to the end, in pixels, the view follows new messages. */
const NEAR_END = 60;
/** This close to the beginning, in pixels, earlier messages are loaded. */
const NEAR_START = 200;

const $ = (id) => document.getElementById(id);
const [scroller, text] = ['scroller', 'text'].map($);
const list = new MessageList({ log: $('log'), outbox: $('outbox'), scroller });
const typing = new Typing({
  tell: (body) => client?.signal(me.room, { ...body, name: me.name }, typingKey(client.user)),
  show: (line) => ($('typing').textContent = line),
});

/** What is known of the room being shown. Another room starts with a new one. */
const freshView = () => ({
  live: false, // joined, and the replay is over
  known: false, // has been live: what comes from now on is news
  more: false, // the server has messages before the first one shown
  loading: false,
  resetFollows: false, // the join could not resume
  unseen: 0, // new messages below the fold
});

let client = null;
let me = { name: '', room: '' };
let view = freshView();
let unread = 0; // since the window was last looked at
let lastTop = 0; // where the view was, in pixels
let retryAt = 0;
let draining = false;
let refreshing = false;

// --- small things -------------------------------------------------------------------------------------------------

function toast(message) {
  const node = element('p', 'toast', message);
  $('toasts').append(node);
  while ($('toasts').childElementCount > 3) $('toasts').firstChild.remove();
  setTimeout(() => node.remove(), 6_000);
}

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const isOwn = ({ from }) => from === client.user;
const epochNow = () => client.position(me.room)?.epoch;

/** Characters of a name as the protocol allows them. */
function cleanName(name) {
  return [...name.replace(/\p{Cc}+/gu, ' ').trim()].slice(0, 64).join('').trim();
}

function remembered(key) {
  try {
    return localStorage.getItem(`roomcast.${key}`) ?? '';
  } catch {
    return '';
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`roomcast.${key}`, value);
  } catch {
    // Private windows may forbid it: then the page asks again next time.
  }
}

// --- the past -----------------------------------------------------------------------------------------------------

/** Numbers mean messages within one epoch only, so nothing is read back across a gap between epochs. */
function canLoadEarlier() {
  return view.live && view.more && !list.isFull && list.first !== undefined && list.first.epoch === epochNow();
}

async function loadEarlier() {
  if (!canLoadEarlier() || view.loading) return;
  const [shown, { seq, epoch }] = [view, list.first];
  shown.loading = true;
  scroller.setAttribute('aria-live', 'off');
  try {
    const { messages, more } = await client.history(me.room, { before: seq }, HISTORY);
    if (shown !== view || list.first?.seq !== seq) return;
    list.prepend(messages, isOwn, epoch);
    shown.more = more;
  } catch (error) {
    if (shown === view && view.live) toast(`Earlier messages could not be loaded: ${error.message}.`);
  } finally {
    shown.loading = false;
    announce();
    refresh();
  }
}

/** Has new messages read aloud, but not those that have just been put in. */
function announce() {
  setTimeout(() => scroller.setAttribute('aria-live', view.live ? 'polite' : 'off'), 300);
}

// --- what the client tells ----------------------------------------------------------------------------------------

function onJoined({ position, recovered, replayed }) {
  view.resetFollows = !recovered;
  if (!list.first) view.more = replayed >= HISTORY && position.seq > replayed;
}

function onLive() {
  view.live = true;
  view.known = true;
  announce();
  refresh();
}

function onMessage({ message }) {
  list.append(message, isOwn(message), epochNow());
  typing.said(message.from);
  if (view.known && !isOwn(message)) {
    if (!list.follow) view.unseen += 1;
    if (document.hidden) unread += 1;
  }
  refresh();
}

/** The session goes on from elsewhere. What a failed resume has left out is read back as far as one page goes. */
async function onReset({ position }) {
  const [shown, failedResume, last] = [view, view.resetFollows, list.last];
  view.resetFollows = false;
  list.dropAcknowledged(position.seq);
  let gap = null;
  if (last && (last.epoch !== position.epoch || last.seq !== position.seq)) {
    const anew = !failedResume && last.epoch !== position.epoch;
    gap = list.appendGap(anew ? 'The history starts anew here' : 'The history has a gap here');
  }
  refresh();
  if (!failedResume || position.seq === 0) return;
  try {
    const { messages, more } = await client.history(me.room, { before: position.seq + 1 }, HISTORY);
    if (shown !== view) return;
    const closed = last?.epoch === position.epoch && messages[0]?.seq <= last.seq + 1;
    list.fill(gap, messages, isOwn, position.epoch, closed);
    if (!last) view.more = more;
    refresh();
  } catch {
    // The connection is lost again; the gap stays marked.
  }
}

function onFailed({ room, id, code, message }) {
  const discard = () => {
    list.drop(id);
    client.discard(room, id);
  };
  const tooLong = code === 'too_large';
  const retry = tooLong ? null : () => client.retry(room, id);
  list.fail(id, tooLong ? 'Too long to send.' : `Not sent: ${message}.`, { retry, discard });
  refresh();
}

function onState(state) {
  draining = false;
  if (state.kind !== 'live') {
    view.live = false;
    scroller.setAttribute('aria-live', 'off');
  }
  retryAt = state.kind === 'waiting' ? Date.now() + state.delay : 0;
  refresh();
}

function onDraining() {
  draining = true;
  refresh();
}

function onRefused({ code, message }) {
  toast(code === 'forbidden' ? 'You may not enter this room.' : `The room cannot be entered: ${message}.`);
  openSetup();
}

// --- what the page shows ------------------------------------------------------------------------------------------

/** Brings everything around the rows up to date, once for all that happened in a moment. */
function refresh() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(() => {
    refreshing = false;
    list.trim();
    showStatus();
    showTop();
    showUnsent();
    const pill = $('pill');
    pill.hidden = list.follow;
    pill.textContent = view.unseen ? plural(view.unseen, 'new message', 'new messages') : 'Jump to newest';
    pill.classList.toggle('news', view.unseen > 0);
    document.title = `${unread ? `(${unread}) ` : ''}${me.room ? `${me.room} · ` : ''}Roomcast`;
    if (!list.follow) return;
    scroller.scrollTop = scroller.scrollHeight;
    lastTop = scroller.scrollTop;
  }, 16);
}

function statusOf({ kind, code }) {
  if (kind === 'connecting') return ['busy', 'connecting…'];
  if (kind === 'live' && !view.live) return ['busy', 'catching up…'];
  if (kind === 'live' && draining) return ['busy', `node ${client.node} restarts, moving on soon`];
  if (kind === 'live') return ['live', `live on node ${client.node}`];
  if (kind === 'waiting' && !navigator.onLine) return ['offline', 'offline', 'Try now'];
  if (kind === 'waiting') return ['waiting', 'reconnecting', 'Try now'];
  if (kind === 'closed' && code === 4001) return ['offline', 'not signed in', 'Try again'];
  if (kind === 'closed' && code === 4003) return ['offline', 'not allowed here', 'Try again'];
  if (kind === 'closed') return ['offline', `closed by the server (${code})`, 'Connect'];
  return ['idle', 'not connected'];
}

function showStatus() {
  const [kind, label, action] = statusOf(client?.state ?? { kind: 'idle' });
  $('status').dataset.kind = kind;
  $('app').dataset.live = view.live ? 'yes' : 'no';
  if ($('status-text').textContent !== label) $('status-text').textContent = label;
  const seconds = Math.ceil((retryAt - Date.now()) / 1_000);
  $('status-count').textContent = kind === 'waiting' && seconds > 0 ? `in ${seconds} s` : '';
  $('status-action').hidden = !action;
  $('status-action').textContent = action ?? '';
}

function showTop() {
  const { first } = list;
  $('earlier').hidden = !canLoadEarlier();
  let note = '';
  if (list.isFull) note = `This page shows the newest ${MAX_ROWS.toLocaleString()} messages`;
  else if (first && view.live && !view.more) note = first.seq === 1 ? 'The beginning of the room' : 'The oldest kept';
  $('top-note').textContent = note;
  $('top-note').hidden = !note;
  $('empty').hidden = !view.live || !list.isEmpty;
}

function showUnsent() {
  const pending = client?.pending(me.room) ?? [];
  const failed = pending.filter(({ state }) => state === 'failed').length;
  const waiting = pending.length - failed;
  const parts = [];
  // A moment's wait for the acknowledgement is no news.
  if (waiting && !view.live) parts.push(`${plural(waiting, 'message waits', 'messages wait')} to be sent`);
  if (failed) parts.push(`${plural(failed, 'message was', 'messages were')} not sent`);
  const label = parts.join(' · ');
  if ($('unsent').textContent !== label) $('unsent').textContent = label;
  $('unsent').hidden = !label;
}

function showNames() {
  $('room-name').textContent = me.room;
  $('empty-title').textContent = `Nothing said in ${me.room} yet`;
  text.placeholder = `Message ${me.room}`;
  $('me').textContent = initialOf(me.name);
  $('me').title = `You are ${me.name}. Change name or room`;
  for (const link of $('nodes').children) link.href = `${link.dataset.url}#${new URLSearchParams(me)}`;
}

async function showNodes() {
  try {
    const { links } = await (await fetch('page.json')).json();
    const shown = links.filter(({ url }) => /^https?:\/\//.test(url)).map(({ name, url }) => {
      const link = element('a', 'node', name);
      Object.assign(link, { target: '_blank', rel: 'noopener', title: `The same room on ${name}` });
      link.dataset.url = new URL('/', url).href;
      return link;
    });
    $('nodes').replaceChildren(...shown);
    showNames();
  } catch {
    // Behind a load balancer there may be nothing to link to.
  }
}

// --- what the user does -------------------------------------------------------------------------------------------

function say(event) {
  event.preventDefault();
  const said = text.value.trim();
  if (!client) return openSetup();
  if (!said) return;
  const body = { text: said.toWellFormed?.() ?? said };
  if (new TextEncoder().encode(JSON.stringify(body)).length > client.maxBody) {
    toast(`Too long: a message has at most ${client.maxBody.toLocaleString()} bytes.`);
    return;
  }
  const id = client.publish(me.room, body);
  if (!id) {
    toast('Too many messages wait to be sent.');
    return;
  }
  list.addPending({ id, name: me.name, at: Date.now(), body });
  typing.stopped();
  list.follow = true;
  text.value = '';
  fitText();
  text.focus();
  refresh();
}

function fitText() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight}px`;
  $('send').disabled = !text.value.trim();
}

/** Only moving up leaves the end: while messages pour in, the end itself moves away under a view that follows. */
function onScroll() {
  const { scrollTop, scrollHeight, clientHeight } = scroller;
  if (scrollHeight - scrollTop - clientHeight < NEAR_END) list.follow = true;
  else if (scrollTop < lastTop) list.follow = false;
  lastTop = scrollTop;
  if (list.follow) view.unseen = 0;
  else if (scrollTop < NEAR_START) loadEarlier();
  refresh();
}

function openSetup() {
  if ($('setup').open) return;
  $('setup-name').value = me.name || remembered('name');
  $('setup-room').value = me.room || remembered('room') || 'lobby';
  $('setup-cancel').hidden = !client;
  $('setup').showModal();
  ($('setup-name').value ? $('setup-room') : $('setup-name')).select();
}

/** Enters a room under a name: the first one, or another. */
function enter(name, room) {
  const waiting = client?.pending(me.room).length;
  const left = me.room;
  if (waiting && room !== left && !confirm('Some messages are not sent yet. Leave them?')) room = left;
  if (room !== left) typing.stopped();
  me = { name, room };
  remember('name', name);
  remember('room', room);
  history.replaceState(null, '', `#${new URLSearchParams({ room })}`);
  showNames();
  if (client) client.rename(name);
  if (room === left) return;
  view = freshView();
  list.clear();
  typing.clear();
  if (client) {
    client.leave(left);
    client.join(room, { history: HISTORY });
  } else {
    start();
  }
  refresh();
  text.focus();
}

function start() {
  let storage;
  try {
    storage = localStorage;
  } catch {
    // Forbidden: the guest lasts as long as the page.
  }
  client = new Roomcast({ url: socketUrl(location.href), name: me.name, guest: guestSecret(storage) });
  const here = (handle) => (detail) => detail.room === me.room && handle(detail);
  client.on('state', onState);
  client.on('draining', onDraining);
  client.on('joined', here(onJoined));
  client.on('live', here(onLive));
  client.on('message', here(onMessage));
  client.on('signal', here((signal) => isOwn(signal) || typing.heard(signal)));
  client.on('reset', here(onReset));
  client.on('ack', here(({ id, seq }) => list.acknowledge(id, seq)));
  client.on('failed', here(onFailed));
  client.on('pending', refresh);
  client.on('refused', here(onRefused));
  client.on('error', ({ message }) => toast(message));
  client.join(me.room, { history: HISTORY });
  client.connect();
}

/** Name and room come from the address (a link from another node has both), or are asked for. */
function enterFromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1) || location.search);
  const name = cleanName(asked.get('name') ?? (me.name || remembered('name')));
  const room = asked.get('room') ?? me.room;
  if (name && ROOM_NAME.test(room)) enter(name, room);
  else openSetup();
}

function listen() {
  $('composer').addEventListener('submit', say);
  text.addEventListener('input', () => {
    fitText();
    typing.typed(text.value.trim());
  });
  text.addEventListener('keydown', (event) => {
    // With an on-screen keyboard Enter is a new line, and while composing it belongs to the input method.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || matchMedia('(pointer: coarse)').matches) return;
    say(event);
  });
  scroller.addEventListener('scroll', onScroll, { passive: true });
  $('earlier').addEventListener('click', loadEarlier);
  $('pill').addEventListener('click', () => {
    scroller.scrollTo({ top: scroller.scrollHeight });
    text.focus();
  });
  $('status-action').addEventListener('click', () => client.connect());
  for (const id of ['room', 'me']) $(id).addEventListener('click', openSetup);
  $('setup-cancel').addEventListener('click', () => $('setup').close());
  $('setup').addEventListener('cancel', (event) => client || event.preventDefault());
  $('setup-form').addEventListener('submit', (event) => {
    const name = cleanName($('setup-name').value);
    if (name) enter(name, $('setup-room').value);
    else event.preventDefault();
  });
  addEventListener('hashchange', enterFromAddress);
  for (const event of ['online', 'pageshow', 'offline']) addEventListener(event, wake);
  document.addEventListener('visibilitychange', () => document.hidden || wake());
  addEventListener('beforeunload', (event) => {
    if (client?.pending(me.room).some(({ state }) => state !== 'failed')) event.preventDefault();
  });
  // On-screen keyboards shrink what is visible, on some systems without shrinking the page.
  visualViewport?.addEventListener('resize', () => {
    const height = visualViewport.height * visualViewport.scale; // zooming is not a keyboard
    document.documentElement.style.setProperty('--visible', `${height}px`);
    scrollTo(0, 0);
    refresh();
  });
  new ResizeObserver(refresh).observe(scroller);
  setInterval(() => retryAt && showStatus(), 250);
}

function wake() {
  if (!document.hidden) unread = 0;
  client?.wake();
  refresh();
}

listen();
showNodes();
enterFromAddress();
