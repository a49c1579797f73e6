/** The page in a browser: editor, search, map, second axis; themes, sizes, reloads, other pages. */
import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import test, { after } from 'node:test';
import type { Page } from 'playwright-core';
import { runs } from '../../src/report/names.js';
import { launch, NEEDS_BROWSER, show } from './browser.js';
import { serve } from './client.js';

const browser = NEEDS_BROWSER.skip ? undefined : await launch();
after(() => browser?.close());

async function explore(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Explore', exact: true }).click();
  await page.locator('[data-verdict]').waitFor();
}

/** The boundaries of the cells of an event in this state, in the order of the map. */
async function cells(page: Page, event: string, state: string): Promise<string> {
  const names = await page
    .locator(`td[data-state="${state}"][data-cell^="${event}@"]`)
    .evaluateAll((all) => all.map((cell) => cell.getAttribute('data-cell')!));
  return runs(names.map((name) => name.slice(event.length + 1)));
}

async function type(page: Page, text: string): Promise<void> {
  await page.locator('.editor .cm-content').click();
  await page.keyboard.press('Control+End');
  await page.keyboard.insertText(text);
}

test('all that is asked for is the server itself, and nothing is refused by its policy', NEEDS_BROWSER, async (t) => {
  const { page, server, errors, requests } = await show(t, browser!);
  await explore(page);
  const own = `127.0.0.1:${server.port}`;
  assert.ok(requests.length >= 4);
  for (const url of requests) assert.equal(new URL(url).host, own, url);
  assert.deepEqual(errors, []);
  assert.equal(new URL(page.url()).search, '', 'the token is not left in the address bar');
});

test('an error of the assembler is shown at its line, and goes when it is mended', NEEDS_BROWSER, async (t) => {
  const { page, errors } = await show(t, browser!);
  const problem = page.locator('.code .problem');
  await type(page, '\n\tmovq\t%rax, %xyz\n');
  await problem.waitFor();
  const line = Number(await problem.getAttribute('data-line'));
  const marked = page.locator('.cm-lintRange-error');
  await marked.waitFor();
  assert.match(await page.locator('.cm-line', { has: marked }).innerText(), /movq\s+%rax, %xyz/);
  assert.match(await problem.innerText(), new RegExp(`linux_nmi_rfc\\.S:${line}:\\d+: `));
  assert.equal(await page.locator('.cm-gutter-lint .cm-lint-marker-error').count(), 1);
  await problem.getByRole('button').click();
  assert.equal(
    await page.locator('.cm-lineNumbers .cm-activeLineGutter').innerText(),
    String(line),
    'the cursor is there',
  );
  // Exploring it says the same, and no verdict.
  await page.getByRole('button', { name: 'Explore', exact: true }).click();
  assert.match(await page.locator('.results .problem').innerText(), /%xyz|xyz/);
  assert.equal(await page.locator('[data-verdict]').count(), 0);
  await page.getByRole('button', { name: 'Revert' }).click();
  await problem.waitFor({ state: 'detached' });
  assert.deepEqual(errors, [], 'its marks need nothing that the policy forbids');
});

test('the map of linux_nmi_rfc.S: exactly the windows of the report fail', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  await explore(page);
  assert.equal(await page.locator('[data-verdict]').getAttribute('data-verdict'), 'fails');
  assert.match(
    await page.locator('.verdict .report').innerText(),
    /for every placement of nmi=2,bp=1.*\n.*\n[\d,]+ states.*closed/,
  );
  const body = 'do_nmi+0..+16';
  assert.equal(
    await cells(page, 'nmi', 'fails'),
    `restart_nmi+28..+29, nmi_restore+0..+16, irq_return+0, int3+0, ${body}`,
  );
  assert.equal(await cells(page, 'bp', 'fails'), body);
  assert.equal(await cells(page, 'bp', 'holds'), '');
  // Only what breaks `context`.
  await page.locator('input[name=property][value=context]').check();
  assert.equal(await cells(page, 'nmi', 'fails'), 'nmi_restore+15..+16, irq_return+0');
  assert.equal(await cells(page, 'bp', 'holds'), body);
  // What is reached by a second NMI only; what is never reached.
  assert.match(
    await cells(page, 'nmi', 'idle'),
    /^nested_nmi\+0\.\.\+14, nested_nmi_out\+0\.\.\+1, repeat_nmi\+0\.\.\+6/,
  );
  assert.match(await cells(page, 'nmi', 'never'), /end_repeat_nmi\+0/);
  await page.locator('[data-cell="nmi@nmi+0"]').focus();
  await page.getByLabel('Lines').selectOption('failing');
  assert.equal(await page.locator('.map tr[class=""]').count(), 3);
  assert.equal(await page.locator('td[data-cell][tabindex="0"]').count(), 1, 'Tab comes to a cell that is shown');
});

test('a handler that holds; settings go with the search; what is old says so', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  await page.getByLabel('File', { exact: true }).selectOption('asm/linux_nmi.S');
  await page.getByLabel('Context').selectOption('user');
  await page.getByLabel('Events').fill('nmi=2');
  await page.getByLabel('Events').press('Enter');
  await page.locator('[data-verdict=holds]').waitFor();
  assert.match(await page.locator('.verdict .report').innerText(), /placement of nmi=2, context user/);
  assert.equal(await cells(page, 'nmi', 'fails'), '');
  assert.equal(await page.locator('.stale').count(), 0);
  await page.getByLabel('Profile').selectOption('amd');
  await page.locator('.stale').waitFor();
});

test('a long search shows how far it is, and can be stopped', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  await page.getByLabel('Events').fill('nmi=6,mc=6');
  await page.getByLabel('Events').press('Enter');
  await page.getByText(/of nmi=\d,mc=\d: [\d,]+ states, [\d,]+ transitions, [1-9]\d+ windows/).waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.locator('[data-verdict]').waitFor();
  assert.match(await page.locator('.verdict .report').innerText(), /not closed/);
  assert.equal(await cells(page, 'nmi', 'holds'), '');
  assert.equal(await page.getByRole('button', { name: 'Explore', exact: true }).count(), 1);
  // Each of its windows by itself: what breaks something else has not been shown to hold.
  const shown = page.locator('input[name=property]:not([value=""])');
  assert.ok((await shown.count()) > 1);
  for (const choice of await shown.all()) {
    await choice.check();
    assert.equal(await page.locator('td[data-state=holds]').count(), 0);
  }
});

test('the second axis: where the earlier events lie; each opens its path', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  await explore(page);
  await page.locator('[data-cell="nmi@nmi_restore+15"]').click();
  const axis = page.getByRole('region', { name: 'Second axis' });
  await axis.waitFor();
  const through = await axis
    .locator('[data-through]')
    .evaluateAll((all) => all.map((b) => b.getAttribute('data-through')!));
  const of = (event: string): string =>
    runs(through.filter((name) => name.startsWith(`${event}@`)).map((name) => name.slice(event.length + 1)));
  assert.equal(of('nmi'), 'context_start+0..+13');
  assert.equal(of('bp'), 'do_nmi+0..+16');
  await axis.locator('[data-through="bp@do_nmi+7"]').click();
  await page.locator('.debugger').waitFor();
  const chips = await page.locator('.fired button').allInnerTexts();
  assert.equal(chips[1], 'bp@do_nmi+7');
  assert.equal(chips[2], 'nmi@nmi_restore+15');
  assert.equal(await page.locator('[data-stop]').getAttribute('data-stop'), 'failure');
  assert.match(await page.locator('[data-stop]').innerText(), /context is broken: rdi is not what it was/);
});

test(
  'a cell that holds has a second axis and a path too; one that was never fired has neither',
  NEEDS_BROWSER,
  async (t) => {
    const { page } = await show(t, browser!);
    await explore(page);
    await page.locator('[data-cell="nmi@first_nmi+0"]').click();
    const axis = page.getByRole('region', { name: 'Second axis' });
    await axis.getByRole('button', { name: 'Open the shortest path' }).click();
    await page.locator('.debugger').waitFor();
    assert.match(await page.locator('[data-stop]').innerText(), /every property holds on this path/);
    await page.getByRole('tab', { name: 'Explore' }).click();
    await page.locator('[data-cell="bp@nmi+0"]').click();
    await page.getByText('The event is never fired here.').waitFor();
    assert.ok(await axis.getByRole('button', { name: 'Open the shortest path' }).isDisabled());
  },
);

test('with the keyboard alone: settings, explore, map, axis, debugger', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  const { keyboard } = page;
  const focused = (): Promise<string> =>
    page.evaluate(
      'document.activeElement.innerText || document.activeElement.getAttribute("aria-label") || ""',
    ) as Promise<string>;
  const tabTo = async (name: RegExp): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      await keyboard.press('Tab');
      if (name.test(await focused())) return;
    }
    assert.fail(`${name} is never focused`);
  };
  await tabTo(/^Explore$/);
  assert.equal(await page.evaluate('document.activeElement.getAttribute("role")'), 'tab');
  await tabTo(/^Explore$/);
  assert.match((await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')) as string, /solid|auto/);
  await keyboard.press('Enter');
  await page.locator('[data-verdict]').waitFor();
  // The grid takes one stop; arrows move in it.
  for (let i = 0; i < 60; i++) {
    await keyboard.press('Tab');
    if ((await page.evaluate('document.activeElement.dataset.cell || ""')) !== '') break;
    // Escape, then Tab leaves the editor.
    await keyboard.press('Escape');
  }
  assert.equal(await page.evaluate('document.activeElement.dataset.cell'), 'nmi@nmi+0');
  const cellAfter = async (key: string): Promise<unknown> => {
    await keyboard.press(key);
    return page.evaluate('document.activeElement.dataset.cell');
  };
  assert.equal(await cellAfter('ArrowDown'), 'nmi@nmi+1');
  assert.equal(await cellAfter('ArrowRight'), 'bp@nmi+1');
  assert.equal(await cellAfter('ArrowLeft'), 'nmi@nmi+1');
  assert.match(String(await cellAfter('End')), /^bp@/);
  assert.equal(await cellAfter('Home'), 'nmi@nmi+0');
  for (let i = 0; i < 200 && (await cellAfter('ArrowDown')) !== 'nmi@nmi_restore+15'; i++);
  await keyboard.press('Enter');
  await page.getByRole('region', { name: 'Second axis' }).waitFor();
  await tabTo(/^Open the shortest path$/);
  await keyboard.press('Enter');
  await page.locator('.debugger[data-index="175"]').waitFor();
  await keyboard.press('S');
  await page.locator('.debugger[data-index="174"]').waitFor();
  await keyboard.press('s');
  await page.locator('.debugger[data-index="175"]').waitFor();
  await keyboard.press(':');
  await keyboard.type('who rdi');
  await keyboard.press('Enter');
  await page.getByText('nested_nmi+6 in NMI 2', { exact: false }).first().waitFor();
});

test('dark and light: as the system has it, or as it is chosen; kept', NEEDS_BROWSER, async (t) => {
  const background = (page: Page): Promise<string> =>
    page.evaluate('getComputedStyle(document.body).backgroundColor') as Promise<string>;
  const { page } = await show(t, browser!, { colorScheme: 'dark' });
  const dark = await background(page);
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await background(page);
  assert.notEqual(dark, light);
  await page.getByLabel('Colours').selectOption('dark');
  assert.equal(await background(page), dark);
  await page.reload();
  await page.locator('header').waitFor();
  assert.equal(await background(page), dark);
  await page.getByLabel('Colours').selectOption('system');
  assert.equal(await background(page), light);
});

test('at 390 pixels nothing sticks out, and everything is there', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!, { viewport: { width: 390, height: 844 } });
  await explore(page);
  await page.locator('[data-cell="nmi@nmi_restore+15"]').click();
  const width = (): Promise<unknown> => page.evaluate('document.documentElement.scrollWidth');
  assert.equal(await width(), 390);
  await page.getByRole('button', { name: 'Open the shortest path' }).click();
  await page.locator('.debugger').waitFor();
  assert.equal(await width(), 390);
  for (const name of ['Source', 'Disassembly', 'Stacks', 'Processor', 'Timeline', 'Console', 'Failures']) {
    const box = await page.getByRole('region', { name, exact: true }).boundingBox();
    assert.ok(box && box.width > 300 && box.x >= 0 && box.x + box.width <= 390, name);
  }
});

test(
  'a page that is loaded again, and a browser that is killed, find everything as it was',
  NEEDS_BROWSER,
  async (t) => {
    const server = await serve();
    t.after(() => server.close());
    const first = await launch();
    const { page } = await show(t, first, {}, server);
    await type(page, '/* typed here */\n');
    await page.getByText('changed; the file itself is left alone').waitFor();
    await explore(page);
    await page.locator('[data-cell="nmi@nmi_restore+15"]').click();
    await page.getByRole('button', { name: 'Open the shortest path' }).click();
    await page.getByRole('button', { name: 'nmi@nmi_restore+15' }).click();
    await page.getByRole('button', { name: 'Skip' }).click();
    await page.locator('.debugger[data-branch="1"]').waitFor();
    const state = async (on: Page): Promise<unknown> => ({
      branches: await on.locator('.branches').innerText(),
      verdict: await on.locator('.verdict .report').textContent(),
      index: await on.locator('.debugger').getAttribute('data-index'),
    });
    await page.getByRole('tab', { name: 'Debugger' }).click();
    const before = await state(page);
    await page.reload();
    await page.locator('.debugger').waitFor();
    assert.deepEqual(await state(page), before);
    // Without a word to the server.
    const session = await first.newBrowserCDPSession();
    await session.send('Browser.crash').catch(() => undefined);
    await first.close().catch(() => undefined);
    const { page: again } = await show(t, browser!, {}, server);
    await again.getByRole('tab', { name: 'Debugger' }).click();
    assert.deepEqual(await state(again), before);
    await again.getByRole('tab', { name: 'Explore' }).click();
    await again.locator('.editor .cm-content').click();
    await again.keyboard.press('Control+End');
    await again.locator('.cm-line', { hasText: 'typed here' }).waitFor();
  },
);

test('what is typed while the connection is lost is there when it is back', NEEDS_BROWSER, async (t) => {
  const server = await serve();
  const sockets = new Set<Socket>();
  let isUp = true;
  const tunnel = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => other.destroy());
    }
    if (isUp) near.pipe(far).pipe(near);
    else near.destroy();
  });
  await new Promise<void>((resolve) => tunnel.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    tunnel.close();
    for (const socket of sockets) socket.destroy();
    await server.close();
  });
  const { port } = tunnel.address() as AddressInfo;
  const link = server.link.replace(`:${server.port}/`, `:${port}/`);
  const { page } = await show(t, browser!, {}, { ...server, link });
  isUp = false;
  for (const socket of sockets) socket.destroy();
  await page.locator('.lost').waitFor();
  await type(page, '\n/* typed meanwhile */\n');
  await page.getByText('not connected').waitFor();
  isUp = true;
  await page.locator('.lost').waitFor({ state: 'detached' });
  // The server has it: the file can be reverted.
  await page.getByRole('button', { name: 'Revert' }).and(page.locator(':enabled')).waitFor();
  assert.match(await page.locator('.editor .cm-content').innerText(), /typed meanwhile/);
});

test('a wrong token, a second page, a server that ends: each says what to do', NEEDS_BROWSER, async (t) => {
  const server = await serve();
  t.after(() => server.close());
  const { page } = await show(t, browser!, {}, server);
  const other = await show(t, browser!, {}, server);
  await other.page.getByRole('heading', { name: 'In use' }).waitFor();
  assert.equal(await page.locator('header').count(), 1, 'the first one goes on');
  await other.page.getByRole('button', { name: 'Take over' }).click();
  await other.page.locator('header').waitFor();
  await page.getByRole('heading', { name: 'Taken over' }).waitFor();
  await page.getByRole('button', { name: 'Take it back' }).click();
  await page.locator('header').waitFor();
  await other.page.getByRole('heading', { name: 'Taken over' }).waitFor();

  const stranger = await browser!.newPage();
  const response = await stranger.goto(`http://127.0.0.1:${server.port}/?token=${'0'.repeat(32)}`);
  assert.equal(response!.status(), 403);
  await stranger.goto(`http://127.0.0.1:${server.port}/`);
  await stranger.getByText('Open the link that entrace serve has printed').waitFor();
  await stranger.close();

  await server.close();
  await page.getByRole('heading', { name: 'Ended' }).waitFor();
});
