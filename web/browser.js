// What the browser tells a page: where it is, whether it is looked at, kept or left, and what there is of network and space.

/**
 * Hands on what happens to the page. `moved`: another address; `network`: whether there is one; `left`: put aside or ended;
 * `kept`: back from the browser's cache, without being loaded; `woken`: looked at again; `resized`: less or more is visible.
 * `isBusy` tells whether leaving the page would lose something.
 */
export function listenToBrowser({ moved, network, left, kept, woken, resized, isBusy }) {
  addEventListener('hashchange', moved);
  for (const event of ['online', 'offline']) addEventListener(event, () => network(event === 'online'));
  addEventListener('pagehide', left);
  addEventListener('pageshow', ({ persisted }) => (persisted ? kept() : woken()));
  for (const event of ['visibilitychange', 'resume']) document.addEventListener(event, () => document.hidden || woken());
  addEventListener('beforeunload', (event) => isBusy() && event.preventDefault());
  // On-screen keyboards shrink what is visible, on some systems without shrinking the page.
  visualViewport?.addEventListener('resize', () => {
    const height = visualViewport.height * visualViewport.scale; // zooming is not a keyboard
    document.documentElement.style.setProperty('--visible', `${height}px`);
    scrollTo(0, 0);
    resized();
  });
}
