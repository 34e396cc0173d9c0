// The chat page: what the protocol client tells and what the user does, on the screen.

import { readAddress } from './address.js';
import { listenToBrowser } from './browser.js';
import { Composer } from './composer.js';
import { Conversation, HISTORY } from './conversation.js';
import { Frame } from './frame.js';
import { remember, remembered, storage } from './kept.js';
import { MessageList } from './messages.js';
import { NameBook } from './names.js';
import { askNodes, leadTo } from './nodes.js';
import { Roomcast, sharedGuest, socketUrl } from './roomcast.js';
import { element, initialOf } from './rows.js';
import { Setup } from './setup.js';
import { Typing, typingKey } from './typing.js';

/** This close to the end, in pixels, the view follows new messages. */
const NEAR_END = 60;
/** This close to the beginning, in pixels, earlier messages are loaded. */
const NEAR_START = 200;
/** How long the node may take to say that it is there, in milliseconds. */
const PROBE_MS = 4_500;

const $ = (id) => document.getElementById(id);
const scroller = $('scroller');
const names = new NameBook();
const labelOf = (user, name) => names.labelOf(user, name);
const list = new MessageList({ log: $('log'), outbox: $('outbox'), scroller, labelOf });
const conversation = new Conversation({ list, page: { announce, refresh, toast } });
const typing = new Typing({
  tell: (body) => client?.signal(me.room, { ...body, name: me.name }, typingKey(client.user)),
  show: (line) => ($('typing').textContent = line),
  nameOf: (user, given) => Object.values(names.lookUp(user, given)).join(' ').trim(),
});
const composer = new Composer({
  form: $('composer'), field: $('text'), button: $('send'), say, typed: (said) => typing.typed(said),
});
const frame = new Frame({ $, list, conversation, scroller });
const setup = new Setup({
  dialog: $('setup'), form: $('setup-form'), name: $('setup-name'), room: $('setup-room'), cancel: $('setup-cancel'),
  enter: (name, room) => enter(name, room, true), isEntered: () => Boolean(me.room),
});
/** Asked for once, before anybody has joined. */
const guest = sharedGuest({ storage: storage(), database: globalThis.indexedDB });

let client = null;
let me = { name: '', room: '' };
let node = ''; // what people call the node behind this page
let lastTop = 0; // where the view was, in pixels
let refreshing = false;

// --- small things -------------------------------------------------------------------------------------------------

function toast(message) {
  const note = element('p', 'toast', message);
  $('toasts').append(note);
  while ($('toasts').childElementCount > 3) $('toasts').firstChild.remove();
  setTimeout(() => note.remove(), 6_000);
}

/** Has new messages read aloud, but not those that have just been put in. */
function announce(aloud) {
  if (!aloud) scroller.setAttribute('aria-live', 'off');
  else setTimeout(() => scroller.setAttribute('aria-live', conversation.isLive ? 'polite' : 'off'), 300);
}

// --- what the client tells ----------------------------------------------------------------------------------------

function onFailed({ room, id, code, message }) {
  // The button that was pressed goes with its row.
  const discard = () => {
    list.drop(id);
    client.discard(room, id);
    composer.focus();
  };
  const again = () => {
    client.retry(room, id);
    composer.focus();
  };
  const tooLong = code === 'too_large';
  const retry = tooLong ? null : again;
  list.fail(id, tooLong ? 'Too long to send.' : `Not sent: ${message}.`, { retry, discard });
  refresh();
}

function onState(state) {
  conversation.onState(state);
  frame.onState(state);
  frame.showStatus({ client, node });
  refresh();
}

function onRefused({ code, message }) {
  toast(code === 'forbidden' ? 'You may not enter this room.' : `The room cannot be entered: ${message}.`);
  if (!setup.isOpen) openSetup();
}

// --- what the page shows ------------------------------------------------------------------------------------------

/** Brings everything around the rows up to date, once for all that happened in a moment. */
function refresh() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(() => {
    refreshing = false;
    list.trim();
    frame.show({ client, room: me.room, node });
    if (!list.follow) return;
    scroller.scrollTop = scroller.scrollHeight;
    lastTop = scroller.scrollTop;
  }, 16);
}

function showNames() {
  $('room-name').textContent = me.room || 'Roomcast';
  $('empty-title').textContent = `Nothing said in ${me.room} yet`;
  composer.hint = `Message ${me.room}`;
  $('me').textContent = me.name && initialOf(me.name);
  $('me').title = `You are ${me.name}. Change name or room`;
  leadTo($('nodes').children, me);
}

async function showNodes() {
  const { name, links } = await askNodes(location.origin);
  node = name;
  $('nodes').replaceChildren(...links);
  showNames();
  refresh();
}

// --- what the user does -------------------------------------------------------------------------------------------

/** False: it stays in the composer. */
function say(said) {
  if (!me.room) openSetup();
  if (!me.room || !said || !client) return false;
  const body = { text: said.toWellFormed?.() ?? said };
  if (new TextEncoder().encode(JSON.stringify(body)).length > client.maxBody) {
    toast(`Too long: a message has at most ${client.maxBody.toLocaleString()} bytes.`);
    return false;
  }
  const id = client.publish(me.room, body);
  if (!id) {
    toast('Too many messages wait to be sent.');
    return false;
  }
  list.addPending({ id, name: me.name, at: Date.now(), body });
  typing.stopped();
  list.follow = true;
  refresh();
  return true;
}

/** Only moving up leaves the end: while messages pour in, the end itself moves away under a view that follows. */
function onScroll() {
  const { scrollTop, scrollHeight, clientHeight } = scroller;
  if (scrollHeight - scrollTop - clientHeight < NEAR_END) list.follow = true;
  else if (scrollTop < lastTop) list.follow = false;
  lastTop = scrollTop;
  if (list.follow) conversation.unseen = 0;
  else if (scrollTop < NEAR_START) conversation.loadEarlier();
  refresh();
}

function openSetup({ name = me.name || remembered('name'), room = me.room || remembered('room') || 'lobby' } = {}) {
  setup.open({ name, room });
}

/** Enters a room under a name: the first one, or another; `chosen` here, so that going back leads to the one before. */
function enter(name, room, chosen = false) {
  setup.close();
  const { room: left } = me;
  const waiting = client?.pending(left).length;
  if (waiting && room !== left && !confirm('Some messages are not sent yet. Leave them?')) room = left;
  if (room !== left) typing.stopped();
  me = { name, room };
  names.setOwn(name);
  remember('name', name);
  remember('room', room);
  const address = `#${new URLSearchParams({ room })}`;
  if (chosen && left && room !== left) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  showNames();
  client?.rename(name);
  if (room !== left) show(left, room);
  refresh();
  composer.focus();
}

function show(left, room) {
  typing.clear();
  conversation.enter(client, room);
  if (!left) return start();
  client?.leave(left);
  client?.join(room, { history: HISTORY });
}

async function start() {
  const secret = await guest;
  client = new Roomcast({ url: socketUrl(location.href), name: me.name, guest: secret, probe });
  const here = (handle) => (detail) => detail.room === me.room && handle(detail);
  client.on('state', onState);
  client.on('draining', () => {
    frame.onDraining();
    refresh();
  });
  for (const event of ['Joined', 'Live', 'Message', 'Reset']) {
    client.on(event.toLowerCase(), here((detail) => conversation[`on${event}`](detail)));
  }
  client.on('message', here(({ message }) => typing.said(message.from)));
  client.on('signal', here((signal) => conversation.isOwn(signal) || typing.heard(signal)));
  client.on('ack', here(({ id, seq }) => list.acknowledge(id, seq)));
  client.on('failed', here(onFailed));
  client.on('pending', refresh);
  client.on('refused', here(onRefused));
  client.on('error', ({ message }) => toast(message));
  conversation.enter(client, me.room);
  client.join(me.room, { history: HISTORY });
  client.connect();
}

/** Whether the node answers at all: asked before an attempt to connect that follows a failed one. */
const probe = async () => (await fetch('healthz', { cache: 'no-store', signal: AbortSignal.timeout?.(PROBE_MS) })).ok;

/** Name and room come from the address (a link from another node has both), or are asked for. */
function enterFromAddress() {
  const kept = { name: remembered('name'), room: remembered('room') };
  const asked = readAddress(location, me, kept);
  propose(asked.proposed);
  if (asked.enter) enter(asked.name, asked.room);
  else openSetup(asked);
}

/** A link would call the user something else. That is their own decision. */
function propose(name) {
  $('proposal').hidden = !name;
  $('proposal-name').textContent = name;
}

function listen() {
  scroller.addEventListener('scroll', onScroll, { passive: true });
  $('earlier').addEventListener('click', () => conversation.loadEarlier());
  $('pill').addEventListener('click', () => {
    scroller.scrollTo({ top: scroller.scrollHeight });
    composer.focus();
  });
  $('status-action').addEventListener('click', () => {
    client.connect();
    composer.focus();
  });
  for (const id of ['room', 'me']) $(id).addEventListener('click', () => openSetup());
  $('proposal-yes').addEventListener('click', () => {
    const name = $('proposal-name').textContent;
    propose('');
    enter(name, me.room);
  });
  $('proposal-no').addEventListener('click', () => {
    propose('');
    composer.focus();
  });
  listenToBrowser({
    moved: enterFromAddress,
    network: (online) => client?.network(online),
    left: () => client?.close(), // a page that is put aside loses its connection anyway
    kept: () => client?.connect(),
    woken: wake,
    resized: refresh,
    isBusy: () => client?.pending(me.room).some(({ state }) => state !== 'failed'),
  });
  new ResizeObserver(refresh).observe(scroller);
  setInterval(() => client?.state.kind !== 'live' && frame.showStatus({ client, node }), 250);
}

function wake() {
  if (!document.hidden) conversation.unread = 0;
  client?.wake();
  refresh();
}

listen();
showNodes();
enterFromAddress();
