/** The page in a browser: the debugger's view. */
import assert from 'node:assert/strict';
import test, { after, type TestContext } from 'node:test';
import type { Page } from 'playwright-core';
import { launch, NEEDS_BROWSER, show } from './browser.js';

const browser = NEEDS_BROWSER.skip ? undefined : await launch();
after(() => browser?.close());

/** At the failure of the RFC's counterexample. */
async function atFailure(t: TestContext): Promise<Page> {
  const { page } = await show(t, browser!);
  await page.getByRole('button', { name: 'Explore', exact: true }).click();
  await page.locator('[data-cell="nmi@nmi_restore+15"]').click();
  await page.getByRole('button', { name: 'Open the shortest path' }).click();
  await page.locator('.debugger').waitFor();
  return page;
}

async function atStart(t: TestContext): Promise<Page> {
  const { page } = await show(t, browser!);
  await page.getByRole('button', { name: 'Debug from the start' }).click();
  await page.locator('.debugger').waitFor();
  return page;
}

/** Waits until the cursor stands in this state; of this branch. */
async function at(page: Page, index: number, branch = 0): Promise<void> {
  await page.locator(`.debugger[data-index="${index}"][data-branch="${branch}"][data-busy="false"]`).waitFor();
}

const boundary = (page: Page): Promise<string | null> => page.locator('[data-at]').getAttribute('data-at');
const verb = (page: Page, name: string) => page.locator(`[data-verb="${name}"]`).click();

test('the RFC: who changed RDI, and without the second NMI the context is given back', NEEDS_BROWSER, async (t) => {
  const page = await atFailure(t);
  assert.match(await page.locator('[data-stop]').innerText(), /context is broken: rdi is not what it was/);
  assert.match(await page.locator('[data-register=rdi] .value').innerText(), /0xfffffe0000006fa0 NMI stack top-96/);
  await page.getByLabel('who changed rdi').click();
  const log = page.getByRole('log');
  await log.getByText('who rdi').first().waitFor();
  await log.getByText('asm/linux_nmi_rfc.S:81').waitFor();
  await log.getByRole('button', { name: 'go there' }).click();
  await page.locator('[data-at="nested_nmi+6"]').waitFor();
  assert.match(await page.locator('.source tr[aria-current]').innerText(), /81\s+leaq\s+-48\(%rsp\), %rdi/);
  assert.match(await page.locator('.where').innerText(), /NMI 2/);
  // Back to where the second NMI is fired; it is not.
  await page.getByRole('button', { name: 'nmi@nmi_restore+15' }).click();
  await page.locator('[data-at="nmi_restore+15"]').waitFor();
  await page.getByText('ahead: nmi').waitFor();
  await verb(page, 'skip');
  await page.locator('.debugger[data-branch="1"]').waitFor();
  await verb(page, 'continue');
  await page.locator('[data-at="context_end+0"]').waitFor();
  assert.match(await page.locator('.where').innerText(), /the context has come to its end/);
  await page.getByText('Properties broken on this path: 0').waitFor();
  assert.match(await page.locator('[data-branch-id="1"]').innerText(), /✓ the context has come to its end/);
  assert.match(await page.locator('[data-branch-id="0"] > .bad').innerText(), /context/);
});

test('step, back, next, finish and continue, both ways, by buttons and keys', NEEDS_BROWSER, async (t) => {
  const page = await atStart(t);
  const { keyboard } = page;
  await verb(page, 'step');
  await at(page, 1);
  await keyboard.press('s');
  await at(page, 2);
  await keyboard.press('S');
  await at(page, 1);
  await verb(page, 'reverseStep');
  await at(page, 0);
  await page.locator('[data-fire="nmi"]').click();
  // The branch has executed the instruction here: this is another one.
  await at(page, 1, 1);
  assert.equal(await boundary(page), 'nmi+0');
  await keyboard.press('f');
  await page.locator('[data-at="context_start+0"]').waitFor();
  await keyboard.press('S');
  await page.locator('[data-at="irq_return+0"]').waitFor();
  await keyboard.press('F');
  await at(page, 0, 1);
  await verb(page, 'step');
  await verb(page, 'step');
  await at(page, 2, 1);
  await keyboard.press('C');
  await at(page, 0, 1);
  // Pressed faster than they are carried out: none is lost.
  await Promise.all(Array.from({ length: 10 }, () => keyboard.press('s')));
  await at(page, 10, 1);
  await Promise.all(Array.from({ length: 10 }, () => keyboard.press('S')));
  await at(page, 0, 1);
  // A button keeps the focus while its verb runs.
  await page.locator('[data-verb="step"]').focus();
  for (let index = 1; index <= 3; index++) {
    await keyboard.press('Enter');
    await at(page, index, 1);
  }
  await keyboard.press('C');
  await at(page, 0, 1);
  // Over the handler that the branch fires here.
  await keyboard.press('n');
  await page.waitForFunction('Number(document.querySelector(".debugger").dataset.index) > 20');
  assert.equal(await boundary(page), 'context_start+0');
  await keyboard.press('N');
  await at(page, 0, 1);
  await keyboard.press('c');
  await page.locator('[data-at="context_end+0"]').waitFor();
  // Keys are for the debugger only while it is shown, and where nothing is typed.
  await page.getByLabel('Command').fill('s');
  await page.getByLabel('Command').press('s');
  assert.equal(await boundary(page), 'context_end+0');
});

test('events: fired with what comes of it, or refused with the reason', NEEDS_BROWSER, async (t) => {
  const page = await atStart(t);
  const reason = page.locator('.fire .reason');
  await page.locator('[data-fire="nmi"]').click();
  await at(page, 1);
  assert.match(await page.locator('[data-event-state="NMI latch"]').innerText(), /blocked/);
  await page.locator('[data-fire="nmi"]').hover();
  assert.match(await reason.innerText(), /nmi: NMIs are blocked: it is latched/);
  await page.locator('[data-fire="nmi"]').click();
  await at(page, 2);
  const latch = page.locator('[data-event-state="NMI latch"]');
  assert.match(await latch.innerText(), /\*blocked, one pending/);
  assert.equal(await page.locator('[data-fire="nmi"]').getAttribute('aria-disabled'), 'true');
  await page.locator('[data-fire="nmi"]').focus();
  assert.match(await reason.innerText(), /nmi: not here, an NMI is pending already/);
  await page.keyboard.press('Enter');
  // Nothing has come of it; the next verb's answer would come after its.
  await page.keyboard.press('s');
  await at(page, 3);
  assert.equal(await page.locator('.fired button').count(), 2);
});

test('branches: another event at the same boundary, and back by a click', NEEDS_BROWSER, async (t) => {
  const page = await atFailure(t);
  await page.getByRole('button', { name: 'nmi@nmi_restore+15' }).click();
  await page.getByText('ahead: nmi').waitFor();
  const fork = Number(await page.locator('.debugger').getAttribute('data-index'));
  await page.locator('[data-fire="mc"]').click();
  await at(page, fork + 1, 1);
  assert.match(await page.locator('[data-branch-id="1"]').first().innerText(), /at 84 nmi_restore\+15: mc/);
  assert.equal(await page.locator('[data-branch-id="0"] [data-branch-id="1"]').count(), 1, 'it lies in its parent');
  await page.getByRole('button', { name: 'counterexample' }).click();
  await at(page, 188, 0);
  await page.getByLabel('go to where context breaks').click();
  await at(page, 175, 0);
  await page.getByLabel('go to the cause of context').click();
  await page.locator('[data-at="nested_nmi+6"]').waitFor();
});

test('breakpoints in source and disassembly; run to a line; the list', NEEDS_BROWSER, async (t) => {
  const page = await atFailure(t);
  await page.locator('[data-verb="reverseContinue"]').click();
  for (let i = 0; i < 5 && (await boundary(page)) !== 'context_start+0'; i++) await verb(page, 'reverseContinue');
  await page.getByRole('button', { name: 'nmi@context_start+0' }).click();
  await at(page, 0);
  await verb(page, 'step');
  await at(page, 1);
  const source = page.getByRole('region', { name: 'Source' });
  const mark = source.getByLabel('breakpoint at nested_nmi+6');
  await mark.click();
  await source.locator('button.break.set').waitFor();
  assert.equal(await mark.getAttribute('aria-pressed'), 'true');
  assert.match(await page.locator('.branches').innerText(), /break nested_nmi\+6/);
  await verb(page, 'continue');
  await page.locator('[data-at="nested_nmi+6"]').waitFor();
  assert.match(await page.locator('[data-stop]').innerText(), /breakpoint 1/);
  const listing = page.getByRole('region', { name: 'Disassembly' });
  assert.equal(await listing.locator('button.break.set').count(), 1);
  await page.getByLabel('breakpoint 1 is enabled').uncheck();
  await page.getByLabel('delete breakpoint 1').click();
  await listing.locator('button.break.set').waitFor({ state: 'detached' });
  await source.getByLabel('run on to line 95').click();
  await page.locator('.source tr[aria-current][data-line="95"]').waitFor();
  await page.getByLabel('Syntax').selectOption('intel');
  await listing.getByText('iretq').first().waitFor();
  assert.match(await listing.locator('tr[aria-current]').innerText(), /pop rdx|iretq/);
});

test('the stack map: frames as boxes, pushed by events, taken away by returns', NEEDS_BROWSER, async (t) => {
  const page = await atFailure(t);
  const frames = page.locator('[data-frame]');
  assert.equal(await frames.count(), 0, 'everything is given back');
  await page.getByRole('button', { name: 'nmi@nmi_restore+15' }).click();
  await page.getByText('ahead: nmi').waitFor();
  const first = page.locator('[data-frame="NMI 1"]');
  assert.equal(await first.getAttribute('data-frame-state'), 'open');
  assert.match(await first.innerText(), /NMI 1 interrupted context at context_start\+0/);
  assert.equal(await first.locator('tr').count(), 5, 'SS, RSP, RFLAGS, CS, RIP');
  await verb(page, 'step');
  const second = page.locator('[data-frame="NMI 2"]');
  await second.waitFor();
  assert.match(await second.innerText(), /interrupted NMI 1 at nmi_restore\+15/);
  await verb(page, 'finish');
  await second.waitFor({ state: 'detached' });
  // Who wrote a word of it.
  await page.locator('[data-stack=NMI] td.below button').first().click();
  await page
    .getByRole('log')
    .getByText(/NMI 2.*delivered|delivery of NMI 2/i)
    .first()
    .waitFor();
});

test('the timeline: dragged, and by the keyboard', NEEDS_BROWSER, async (t) => {
  const page = await atFailure(t);
  await page.getByTitle('the whole path').click();
  const slider = page.getByRole('slider', { name: 'Place in the path' });
  await page.locator('[data-lane=latch] .segment').first().waitFor();
  const box = (await slider.boundingBox())!;
  const x = (index: number): number => box.x + ((index + 0.5) / 189) * box.width;
  const y = box.y + box.height / 2;
  await page.mouse.move(x(175), y);
  await page.mouse.down();
  for (const index of [150, 100, 60, 20]) await page.mouse.move(x(index), y, { steps: 4 });
  await at(page, 20);
  await page.mouse.move(x(48), y, { steps: 4 });
  await page.mouse.up();
  await at(page, 48);
  await page.getByText('ahead: bp').waitFor();
  await slider.focus();
  await page.keyboard.press('ArrowRight');
  await at(page, 49);
  await page.keyboard.press('PageDown');
  await at(page, 39);
  await page.keyboard.press('Home');
  await at(page, 0);
  // As fast as a key that is held down.
  await Promise.all(Array.from({ length: 5 }, () => page.keyboard.press('ArrowRight')));
  await at(page, 5);
  await page.keyboard.press('End');
  await at(page, 188);
  assert.equal(await slider.getAttribute('aria-valuenow'), '188');
  const lanes = await page.locator('.timeline .names > div:not(.zoom)').allInnerTexts();
  assert.deepEqual(lanes, ['latch', 'CPL', 'GS', 'CR3', 'stack', 'body', 'owner']);
  assert.equal(await page.locator('[data-mark^="failure"]').count(), 2);
});

test('the console: commands, errors, completion, history; quit closes', NEEDS_BROWSER, async (t) => {
  const page = await atStart(t);
  const input = page.getByLabel('Command');
  const log = page.getByRole('log');
  await input.fill('break do_nmi');
  await input.press('Enter');
  await input.fill('fire nmi');
  await input.press('Enter');
  await input.fill('continue');
  await input.press('Enter');
  await page.locator('[data-at="do_nmi+0"]').waitFor();
  await input.fill('nonsense');
  await input.press('Enter');
  await log.locator('pre.bad').waitFor();
  await input.fill('reverse-c');
  await input.press('Tab');
  await page.waitForFunction('document.querySelector("#command").value.startsWith("reverse-continue")');
  await input.fill('');
  await input.press('ArrowUp');
  await input.press('ArrowUp');
  assert.equal(await input.inputValue(), 'continue');
  await input.fill('quit');
  await input.press('Enter');
  await page.getByText('Nothing is open').waitFor();
});

test('a verb that runs long can be interrupted', NEEDS_BROWSER, async (t) => {
  const { page } = await show(t, browser!);
  await page.locator('.editor .cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText('\t.text\n\t.globl nmi\nnmi:\n1:\tincq %rax\n\tjmp 1b\n');
  await page.getByRole('button', { name: 'Debug from the start' }).click();
  await page.locator('[data-fire="nmi"]').click();
  await at(page, 1);
  await verb(page, 'continue');
  await page.locator('.debugger[data-busy="true"]').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('[data-stop="interrupted"]').waitFor();
  await verb(page, 'step');
  await page.locator('[data-stop="step"]').waitFor();
});
