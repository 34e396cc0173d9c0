// The chat page in a real browser, on two nodes of a local stack and a third one that may die.

import assert from 'node:assert/strict';
import { describe } from 'node:test';

import { visit } from './chat-page.mjs';
import { until } from './processes.mjs';
import { stage } from './stage.mjs';

const { scene, at } = stage({ third: true, backForwardCache: true });

describe('coming in', () => {
  scene('by the dialog, which Escape cannot leave, with the keyboard alone; then the composer has the focus', async ({ open, room }) => {
    const ada = await open(at.one);
    const { keyboard } = ada.page;
    const name = ada.dialog.getByLabel('Your name');
    assert.ok(await ada.hasFocus(name));
    for (let press = 0; press < 4; press += 1) await keyboard.press('Escape');
    await until('the dialog', () => ada.dialog.isVisible());
    await name.focus();
    await keyboard.type('Ada');
    await keyboard.press('Tab');
    await keyboard.press('Control+A');
    await keyboard.type(room);
    await keyboard.press('Enter');
    await ada.says(/^live on Node 1$/);
    assert.ok(await ada.hasFocus(ada.composer));
    await keyboard.type('typed at once');
    await keyboard.press('Enter');
    await ada.shows('typed at once');
    assert.equal(await ada.page.title(), `${room} · Roomcast`);
  });

  scene('by links to two nodes, and what each says the other reads once, in one order', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    await ada.says(/^live on Node 1$/);
    await grace.says(/^live on Node 2$/);
    assert.ok(await grace.hasFocus(grace.composer));
    await ada.say('hello');
    await ada.shows('hello');
    await grace.shows('hello');
    await grace.say('and hello');
    for (const who of [ada, grace]) await who.shows('hello', 'and hello');
    assert.deepEqual((await ada.rows()).map(({ name, own }) => [name, own]), [['You', true], ['Grace', false]]);
    assert.deepEqual((await grace.rows()).map(({ name, seq }) => [name, seq]), [['Ada', 1], ['You', 2]]);
    await grace.composer.pressSequentially('hm');
    await until('the line', async () => /Grace.* is typing…/.test(await ada.page.locator('#typing').textContent()));
    const link = ada.page.getByRole('link', { name: 'Node 2' });
    assert.match(await link.getAttribute('href'), new RegExp(`^${at.two}/#name=Ada&room=room-`));
  });

  scene('by a link with a room alone: it is offered, and the name is asked for', async ({ open, room }) => {
    const ada = await open(`${at.one}/#room=${room}`);
    assert.equal(await ada.dialog.getByLabel('Room').inputValue(), room);
    assert.ok(await ada.hasFocus(ada.dialog.getByLabel('Your name')));
    await ada.join('Ada', room);
  });

  scene('by a link while the dialog is open: it offers that room, keeps the name typed, and goes when the link has both', async ({ open, room }) => {
    const ada = await open(at.one);
    const [name, offered] = ['Your name', 'Room'].map((label) => ada.dialog.getByLabel(label));
    const follow = (fields) => ada.page.evaluate((hash) => (location.hash = hash), `${new URLSearchParams(fields)}`);
    await name.fill('Typed');
    await follow({ room: 'offered' });
    await until('the offer', async () => (await offered.inputValue()) === 'offered', 5_000);
    assert.equal(await name.inputValue(), 'Typed');
    await follow({ name: 'Ada', room });
    await ada.live();
    assert.ok(!(await ada.dialog.isVisible()) && await ada.hasFocus(ada.composer));
    await ada.page.locator('#room').click();
    await follow({ room: `${room}-b` });
    await until('the other room', async () => (await ada.page.title()).startsWith(`${room}-b`), 5_000);
    assert.ok(!(await ada.dialog.isVisible()) && await ada.hasFocus(ada.composer));
  });

  scene('by a link with another name: who has been here before is asked first', async ({ guest, room }) => {
    const ada = await guest(at.one, 'Ada');
    await ada.page.goto('about:blank');
    await ada.page.goto(`${at.one}/#name=Mallory&room=${room}`);
    await ada.live();
    await ada.say('who am I');
    const watch = await guest(at.two, 'Watch');
    await watch.shows('who am I');
    assert.equal((await watch.rows())[0].name, 'Ada');
    const proposal = ada.page.locator('#proposal');
    assert.match(await proposal.textContent(), /This link calls you Mallory/);
    await proposal.getByRole('button', { name: 'Use that name' }).click();
    await ada.live();
    await ada.say('and now');
    await watch.shows('who am I', 'and now');
    assert.deepEqual((await watch.rows()).map(({ name }) => name), ['Ada', 'Mallory']);
    assert.equal(await proposal.isVisible(), false);
  });

  scene('in four cold tabs at once makes one user', async ({ room }) => {
    for (let profile = 0; profile < 3; profile += 1) {
      const first = await visit(at.browser, `${at.one}/page.json`);
      const users = new Set();
      first.context.on('page', (page) => page.on('websocket', (socket) => {
        users.add(new URL(socket.url()).searchParams.get('guest'));
        socket.on('framereceived', () => (page.welcomed = true));
      }));
      const address = `${at.one}/#${new URLSearchParams({ name: 'Ada', room })}`;
      await first.page.evaluate((url) => {
        for (let tab = 0; tab < 4; tab += 1) open(url, '_blank', 'noopener');
      }, address);
      const tabs = () => first.context.pages().filter((page) => page !== first.page);
      await until('four tabs', () => tabs().length === 4 && tabs().every((page) => page.welcomed));
      assert.equal(users.size, 1, `${[...users]}`);
      await first.context.close();
    }
  });
});

describe('moving', () => {
  scene('between rooms by the keyboard: focus, back and forward', async ({ guest, room }) => {
    const ada = await guest(at.one, 'Ada');
    const { keyboard } = ada.page;
    await ada.say('in the first');
    await ada.shows('in the first');
    await keyboard.press('Shift+Tab');
    for (let tab = 0; tab < 9 && !(await ada.hasFocus(ada.page.locator('#room'))); tab += 1) await keyboard.press('Shift+Tab');
    await keyboard.press('Enter');
    assert.ok(await ada.dialog.isVisible());
    await keyboard.press('Escape');
    assert.ok(await ada.hasFocus(ada.page.locator('#room')), 'Escape gives the focus back');
    await keyboard.press('Enter');
    await keyboard.type(`${room}-b`);
    await keyboard.press('Enter');
    await ada.live();
    assert.ok(await ada.hasFocus(ada.composer));
    await ada.say('in the second');
    await ada.shows('in the second');
    await ada.page.goBack();
    await ada.live();
    await ada.shows('in the first');
    assert.ok(await ada.hasFocus(ada.composer));
    await ada.page.goForward();
    await ada.live();
    await ada.shows('in the second');
    assert.match(ada.page.url(), new RegExp(`#room=${room}-b$`));
  });

  scene('away and back, from the cache of the browser, brings what was said meanwhile, once', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    await ada.say('before');
    await grace.shows('before');
    await ada.page.evaluate(() => addEventListener('pageshow', ({ persisted }) => (globalThis.wasKept = persisted)));
    await ada.page.goto(`${at.one}/page.json`);
    await grace.say('meanwhile');
    await grace.shows('before', 'meanwhile');
    await ada.page.goBack({ waitUntil: 'commit' }); // nothing is loaded
    await until('the page from the cache', () => ada.page.evaluate(() => globalThis.wasKept === true), 10_000);
    await ada.live();
    await ada.shows('before', 'meanwhile');
  });

  scene('a reload keeps the user and the room', async ({ guest }) => {
    const ada = await guest(at.one, 'Ada');
    for (const text of ['one', 'two']) await ada.say(text);
    await ada.shows('one', 'two');
    await ada.page.reload();
    await ada.live();
    await ada.shows('one', 'two');
    assert.ok((await ada.rows()).every(({ own }) => own));
  });

  // Chromium without a window freezes no tab, because all are visible to it: the debugger stops the page's script instead.
  scene('a tab whose script stood still has everything when it goes on', async ({ guest }) => {
    const [ada, grace] = [await guest(at.one, 'Ada'), await guest(at.two, 'Grace')];
    const devtools = await ada.context.newCDPSession(ada.page);
    for (const domain of ['DOM', 'Debugger']) await devtools.send(`${domain}.enable`);
    const stopped = new Promise((resolve) => devtools.once('Debugger.paused', resolve));
    await devtools.send('Debugger.pause');
    await stopped;
    for (const text of ['a', 'b', 'c']) await grace.say(text);
    await grace.shows('a', 'b', 'c');
    const { root } = await devtools.send('DOM.getDocument');
    const { nodeIds } = await devtools.send('DOM.querySelectorAll', { nodeId: root.nodeId, selector: '#log .row' });
    assert.equal(nodeIds.length, 0, 'it stands still');
    await devtools.send('Debugger.disable');
    await ada.shows('a', 'b', 'c');
    await ada.say('d');
    await grace.shows('a', 'b', 'c', 'd');
  });
});

describe('what is refused', () => {
  /** Opens a page whose connections `answer` deals with: it takes the page's end, a frame of it, and sends on what it does not answer. */
  const withAnswers = async ({ open }, fields, answer, refuses = () => false) => {
    const visitor = await open(`${at.one}/page.json`);
    await visitor.page.routeWebSocket(/\/ws\?/, (near) => {
      if (refuses(near.url())) return near.close({ code: 4001, reason: 'this name is taken' });
      const far = near.connectToServer();
      near.onMessage((text) => answer(near, JSON.parse(text)) || far.send(text));
    });
    await visitor.page.goto(`${at.one}/#${new URLSearchParams(fields)}`);
    return visitor;
  };

  scene('a publish: after Retry and after Discard the composer has the focus', async ({ open, room }) => {
    let refusing = true;
    const answer = (near, { type, id }) => {
      if (type !== 'publish' || !refusing) return false;
      near.send(JSON.stringify({ type: 'error', code: 'forbidden', message: 'not now', retry: false, room, id }));
      return true;
    };
    const ada = await withAnswers({ open }, { name: 'Ada', room }, answer);
    await ada.live();
    const press = async (label) => {
      await ada.page.getByRole('button', { name: label }).click();
      assert.ok(await ada.hasFocus(ada.composer), label);
    };
    await ada.say('given up');
    await press('Discard');
    await ada.say('said after all');
    await ada.page.getByText('Not sent: not now.').waitFor();
    refusing = false;
    await press('Retry');
    await ada.shows('said after all');
  });

  scene('a name: another one, chosen in the dialog, connects', async ({ open, room }) => {
    const ada = await withAnswers({ open }, { name: 'Taken', room }, () => false, (url) => url.includes('name=Taken'));
    await ada.says(/^This name is taken$/);
    await ada.page.locator('#me').click();
    await ada.join('Free', room);
    await ada.say('here');
    await ada.shows('here');
  });
});

describe('what breaks', () => {
  scene('a wire that is cut: what is said waits, is sent once, and what was missed comes', async ({ guest, wire }) => {
    const broken = await wire(at.one);
    const [ada, grace] = [await guest(broken.url, 'Ada'), await guest(at.two, 'Grace')];
    await ada.say('before');
    await grace.shows('before');
    await broken.cut();
    await ada.says(/does not answer, reconnecting/);
    await ada.say('while away');
    await until('a word', async () => /1 message waits to be sent/.test(await ada.page.locator('#unsent').textContent()));
    await grace.say('missed');
    await grace.shows('before', 'missed');
    await broken.mend();
    await ada.live(15_000);
    for (const who of [ada, grace]) await who.shows('before', 'missed', 'while away');
  });

  scene('a browser that says it is offline is believed at once, and comes back by itself', async ({ guest, wire }) => {
    const broken = await wire(at.one);
    const [ada, grace] = [await guest(broken.url, 'Ada'), await guest(at.two, 'Grace')];
    broken.hold();
    await ada.context.setOffline(true);
    await ada.says(/^offline$/, 5_000);
    await grace.say('missed');
    await ada.context.setOffline(false);
    await broken.mend();
    await ada.live(15_000);
    await ada.shows('missed');
  });

  scene('a node that is killed: its page waits, and has everything within 15 s of its return', async ({ guest }) => {
    const [ada, grace] = [await guest(at.third.url, 'Ada'), await guest(at.one, 'Grace')];
    await ada.says(/^live on Node 3$/);
    await ada.say('before');
    await grace.shows('before');
    await at.third.kill();
    await ada.says(/does not answer, reconnecting/);
    await ada.say('while dead');
    await grace.say('meanwhile');
    await at.third.start();
    await ada.live(15_000);
    for (const who of [ada, grace]) await who.shows('before', 'meanwhile', 'while dead');
  });

  scene('a node that drains says so, and another in its place goes on', async ({ guest }) => {
    const [ada, grace] = [await guest(at.third.url, 'Ada'), await guest(at.two, 'Grace')];
    const told = ada.says(/^Node 3 restarts, moving on soon$/);
    const gone = at.third.drain();
    await told;
    await grace.say('meanwhile');
    await gone;
    await at.third.start();
    await ada.live(15_000);
    await ada.say('back');
    for (const who of [ada, grace]) await who.shows('meanwhile', 'back');
  });
});

