/** What keys, clicks and the command line of the full screen do, on a real debugger and without a terminal. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Controller } from '../../src/debugger/tui/controller.js';
import type { Drawing } from '../../src/debugger/tui/draw.js';
import { NAMES } from '../../src/debugger/tui/panes/timeline.js';
import { complete, EMPTY_PROMPT, edit, History } from '../../src/debugger/tui/prompt.js';
import { UNICODE } from '../../src/debugger/tui/signs.js';
import type { PromptState } from '../../src/debugger/tui/state.js';
import { FAILURE, openCounterexample, SECOND_NMI } from '../support/counterexample.js';

const debug = await openCounterexample();

/** A screen on the counterexample, at its failure. */
class Screen {
  readonly controller: Controller;
  readonly ended: unknown[] = [];
  drawing: Drawing;

  constructor(
    readonly width = 120,
    readonly height = 40,
  ) {
    debug.go(FAILURE, 0);
    const end = (error?: unknown): void => void this.ended.push(error);
    this.controller = new Controller(debug, UNICODE, () => undefined, end);
    this.drawing = this.draw();
  }

  draw(): Drawing {
    this.drawing = this.controller.draw({ width: this.width, height: this.height });
    return this.drawing;
  }

  /** Presses keys one after the other, each when the one before has been done. */
  async keys(...names: readonly string[]): Promise<string[]> {
    for (const name of names) {
      this.controller.key(name);
      while (this.controller.state.running !== undefined) await new Promise((resolve) => setImmediate(resolve));
      this.draw();
    }
    return this.rows;
  }

  get rows(): string[] {
    return Array.from({ length: this.height }, (_, y) => this.drawing.frame.text(y));
  }

  click(x: number, y: number): string[] {
    this.controller.mouse({ kind: 'press', x, y });
    this.draw();
    return this.rows;
  }
}

function has(rows: readonly string[], pattern: RegExp): number {
  const y = rows.findIndex((row) => pattern.test(row));
  assert.ok(y >= 0, `${pattern} in\n${rows.join('\n')}`);
  return y;
}

function hasNot(rows: readonly string[], pattern: RegExp): void {
  assert.doesNotMatch(rows.join('\n'), pattern);
}

test('from the failure back to the second NMI, without it, and the context is given back whole', async () => {
  const screen = new Screen();
  let rows = await screen.keys('[');
  has(rows, /^ NMI 1 {2}nmi_restore\+15 .*next on this path: nmi/);
  assert.equal(debug.position.index, SECOND_NMI);
  rows = await screen.keys('k');
  has(rows, /^ nmi is not fired/);
  assert.notEqual(debug.position.branch, 0);
  rows = await screen.keys('c', '8');
  has(rows, /^ the path has ended: the context has come to its end/);
  has(rows, /no property is broken on this path/);
  // The same again leads into the same branch.
  const { branch } = debug.position;
  debug.go(SECOND_NMI, 0);
  await screen.keys('k');
  assert.equal(debug.position.branch, branch);
});

test('w asks who changed the selected register, a goes to where its value began', async () => {
  const screen = new Screen();
  await screen.keys('3', 'HOME');
  while (screen.controller.state.selection.registers !== 'rdi') await screen.keys('DOWN');
  let rows = await screen.keys('w');
  has(rows, /^:who rdi/);
  has(rows, /#91 {2}nested_nmi\+6 in NMI 2 changed rdi/);
  rows = await screen.keys('a');
  has(rows, /^ NMI 2 {2}nested_nmi\+6/);
  has(rows, /^ *81 ►/);
  // What the answer took the place of is back.
  has(rows, /^─\[3 registers\]/);
  // A line of the answer that names a state leads there.
  await screen.keys('9', 'UP', 'UP', 'UP', 'ENTER');
  assert.equal(debug.position.index, 91);
});

test('s and S, n and N, f and F: there and back', async () => {
  const screen = new Screen();
  await screen.keys('S', 'S');
  assert.equal(debug.position.index, FAILURE - 2);
  await screen.keys('s');
  assert.equal(debug.position.index, FAILURE - 1);
  debug.go(SECOND_NMI, 0);
  await screen.keys('n');
  const { index } = debug.position;
  assert.ok(index > SECOND_NMI + 1, 'n goes over the handler');
  await screen.keys('N');
  assert.equal(debug.position.index, SECOND_NMI);
  debug.go(SECOND_NMI + 4, 0);
  await screen.keys('f');
  assert.equal(debug.position.index, index, 'f ends the handler');
  await screen.keys('S', 'F');
  assert.ok(debug.position.index <= SECOND_NMI + 1, 'F goes to where it was entered');
});

test('e lists the events, says what becomes of them or why they cannot be fired, and fires one', async () => {
  const screen = new Screen();
  let rows = await screen.keys('[', 'e');
  has(rows, /fire an event at nmi_restore\+15/);
  const entry = / ([1-9a-z]) {2}mc /.exec(rows[has(rows, /[1-9] {2}mc /)]!)![1]!;
  rows = await screen.keys(entry);
  hasNot(rows, /fire an event/);
  has(rows, /^ mc is fired/);
  assert.equal(debug.position.index, SECOND_NMI + 1);
  debug.go(SECOND_NMI + 2, 0);
  rows = await screen.keys('e');
  has(rows, /1 {2}nmi {2}\(NMIs are blocked: it is latched/);
  rows = await screen.keys('1');
  has(rows, /^ nmi is fired/);
  // What cannot be fired is refused with its reason, and nothing moves.
  const { index } = debug.position;
  rows = await screen.keys('e');
  has(rows, /1 {2}nmi {2}no: an NMI is pending already/);
  rows = await screen.keys('1');
  has(rows, /^ error: nmi: an NMI is pending already/);
  assert.equal(debug.position.index, index);
});

test('u runs until, U back until; the line that is selected, too', async () => {
  const screen = new Screen();
  debug.go(0, 0);
  let rows = await screen.keys('u');
  has(rows, /run until/);
  rows = await screen.keys('m');
  has(rows, /^ NMIs are blocked/);
  await screen.keys('u', 'u');
  has(screen.rows, /^ NMIs are not blocked any more/);
  const { index } = debug.position;
  rows = await screen.keys('U', 'd');
  has(rows, /^ delivery of /);
  assert.ok(debug.position.index < index);
  debug.go(SECOND_NMI + 19, 0);
  screen.draw();
  await screen.keys('1', 'DOWN', 'DOWN', 'DOWN', 'ENTER');
  assert.equal(debug.view().position.boundary, 'nmi_restore+16');
});

test('b sets a breakpoint on the selected line and takes it away; a comment has none', async () => {
  const screen = new Screen();
  debug.go(SECOND_NMI, 0);
  screen.draw();
  let rows = await screen.keys('1', 'DOWN', 'DOWN', 'DOWN', 'b');
  has(rows, /^ breakpoint \d+ at nmi_restore\+16/);
  has(rows, /^●177 /);
  rows = await screen.keys('0', 'DOWN', 'ENTER');
  has(rows, /^○177 /);
  rows = await screen.keys('1', 'b');
  hasNot(rows, /[●○]177/);
  assert.equal(debug.view().breakpoints.length, 0);
  rows = await screen.keys('UP', 'b');
  has(rows, /^ error: no instruction comes from the selected line/);
});

test('Enter goes to the write of a stack word, to a cause, to a branch; g to the failure', async () => {
  const screen = new Screen();
  await screen.keys('8', 'END', 'ENTER');
  assert.equal(debug.view().position.boundary, 'nested_nmi+6');
  await screen.keys('g');
  assert.equal(debug.view().position.stop.reason, 'moved');
  const failures = debug.view().failures.map(({ index }) => index);
  assert.ok(failures.includes(debug.position.index));
  debug.go(SECOND_NMI + 2, 0);
  screen.draw();
  await screen.keys('5', 'HOME', 'DOWN', 'DOWN', 'ENTER');
  assert.equal(debug.position.index, SECOND_NMI, 'its delivery wrote it');
  await screen.keys('t', 'DOWN', 'DOWN', 'ENTER');
  assert.notEqual(debug.position.branch, 0);
});

test('panes by digit and Tab; z shows one alone; d and i choose what code looks like', async () => {
  const screen = new Screen(80, 24);
  const order: string[] = [];
  for (let i = 0; i < 10; i++) {
    order.push(screen.controller.state.focus);
    await screen.keys('TAB');
  }
  assert.equal(new Set(order).size, 10);
  assert.equal(screen.controller.state.focus, order[0]);
  await screen.keys('SHIFT_TAB');
  assert.equal(screen.controller.state.focus, order[9]);
  let rows = await screen.keys('6');
  has(rows, /^─\[6 timeline\]/);
  rows = await screen.keys('z');
  assert.equal(screen.drawing.panes.length, 1);
  rows = await screen.keys('z', '2', 'i');
  has(rows, /► 0xffffffff81000180 .*context_start\+0 +push rbx/);
  rows = await screen.keys('d');
  has(rows, /^─.2 code/);
});

test('the command line: typed, completed, brought back, and printed into the output pane', async () => {
  const screen = new Screen();
  const printed: string[] = [];
  const real = { command: debug.command, complete: debug.complete };
  debug.command = async (line) => {
    printed.push(line);
    const quit = line === 'quit';
    return { lines: line === 'bad' ? ['what is bad?'] : ['one', 'two'], error: line === 'bad', changed: false, quit };
  };
  debug.complete = () => ['stack', 'stacks'];
  try {
    let rows = await screen.keys(':', 's', 't', 'TAB');
    assert.equal(rows.at(-1), ':stack');
    has(rows, /^ stack {2}stacks/);
    rows = await screen.keys('s', 'ENTER');
    assert.deepEqual(printed, ['stacks']);
    const at = has(rows, /^:stacks/);
    assert.match(rows[at + 1]!, /^one /);
    assert.match(rows[at + 2]!, /^two /);
    rows = await screen.keys(':', 'b', 'a', 'd', 'ENTER');
    has(rows, /^ error: what is bad\?/);
    rows = await screen.keys(':', 'UP', 'UP');
    assert.equal(rows.at(-1), ':stacks');
    rows = await screen.keys('ESCAPE');
    assert.match(rows.at(-1)!, /q quit$/);
    assert.deepEqual(printed, ['stacks', 'bad']);
    await screen.keys(':', 'q', 'u', 'i', 't', 'ENTER');
    assert.deepEqual(screen.ended, [undefined]);
  } finally {
    Object.assign(debug, real);
  }
});

test('Ctrl-C interrupts what runs, and other keys wait', async () => {
  const screen = new Screen();
  const real = debug.continue;
  let given: AbortSignal | undefined;
  debug.continue = (signal) =>
    new Promise((resolve) => {
      given = signal;
      signal!.addEventListener('abort', () => resolve({ reason: 'interrupted', text: 'interrupted' }));
    });
  try {
    screen.controller.key('c');
    screen.draw();
    has(screen.rows, /^ continue … Ctrl-C interrupts/);
    screen.controller.key('S');
    assert.equal(debug.position.index, FAILURE);
    assert.equal(given!.aborted, false);
    screen.controller.key('CTRL_C');
    assert.equal(given!.aborted, true);
    const rows = await screen.keys('ESCAPE');
    hasNot(rows, /interrupts$/);
  } finally {
    debug.continue = real;
  }
});

test('keys that are typed ahead are done one after the other, and act on what is to be seen then', async () => {
  const screen = new Screen();
  debug.go(SECOND_NMI + 19, 0);
  screen.draw();
  for (const key of ['s', 's', 'S', '1', 'DOWN', 'DOWN', 'DOWN', 'DOWN', 'b']) screen.controller.key(key);
  const rows = await screen.keys('?');
  has(rows, /keys \(arrows scroll/);
  assert.equal(debug.view().position.boundary, 'irq_return+0');
  const [breakpoint] = debug.view().breakpoints;
  assert.equal(breakpoint?.text, 'break repeat_nmi+0');
  debug.deleteBreakpoint(breakpoint.number);
});

test('a click selects a line or moves in time; the wheel scrolls', () => {
  const screen = new Screen();
  debug.go(SECOND_NMI, 0);
  screen.draw();
  const y = has(screen.rows, /^ 176 /);
  screen.click(10, y);
  assert.equal(screen.controller.state.selection.source, '176');
  screen.controller.mouse({ kind: 'down', x: 10, y });
  assert.equal(screen.controller.state.selection.source, '179');
  const { timeline } = debug.view({ timeline: { from: 0, to: 110 } });
  const { place } = screen.drawing.panes.find(({ place: { pane } }) => pane === 'timeline')!;
  const from = screen.controller.draw({ width: 120, height: 40 }) && SECOND_NMI - Math.floor((120 - NAMES - 1) / 2);
  screen.click(NAMES + 20, place.y + 2);
  assert.equal(debug.position.index, from + 20);
  assert.ok(timeline.length > 0);
  // Outside of all panes, on titles and on empty rows nothing happens.
  const { index } = debug.position;
  for (const at of [0, 1, 2, 39]) screen.click(3, at);
  assert.equal(debug.position.index, index);
});

test('the timeline is walked with the arrows, and Enter goes there', async () => {
  const screen = new Screen();
  let rows = await screen.keys('6', 'LEFT', 'LEFT', 'LEFT');
  has(rows, new RegExp(`selected ${FAILURE - 3}, enter goes there`));
  rows = await screen.keys('ENTER');
  assert.equal(debug.position.index, FAILURE - 3);
  await screen.keys('HOME', 'ENTER');
  assert.equal(debug.position.index, 0);
  await screen.keys('-', '-');
  assert.ok(screen.controller.state.scale! > 1);
});

test('no key or click, in whatever order, is an error of the program', async () => {
  const names = [
    ...'sSnNkbwxezdiptg[]:?+-q0123456789a',
    'ENTER',
    'ESCAPE',
    'TAB',
    'UP',
    'DOWN',
    'PAGE_DOWN',
    'END',
    'CTRL_C',
  ];
  let seed = 7;
  const random = (n: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * n);
  };
  const screen = new Screen(90, 30);
  for (let i = 0; i < 600; i++) {
    if (random(5) === 0) screen.click(random(90), random(30));
    await screen.keys(names[random(names.length)]!);
  }
  assert.deepEqual(
    screen.ended.filter((error) => error !== undefined),
    [],
  );
});

test('q ends; what is no key is said so', async () => {
  const screen = new Screen();
  has(await screen.keys('Q'), /^ Q is no key here; \? shows them all/);
  await screen.keys('q');
  assert.deepEqual(screen.ended, [undefined]);
});

test('editing of the command line', () => {
  const type = (...keys: readonly string[]): PromptState =>
    keys.reduce((prompt, key) => edit(prompt, key) ?? prompt, EMPTY_PROMPT);
  assert.deepEqual(type('a', 'b', 'LEFT', 'c'), { text: 'acb', at: 2, candidates: [] });
  assert.equal(type('a', 'b', 'BACKSPACE').text, 'a');
  assert.equal(type('a', 'b', 'HOME', 'DELETE').text, 'b');
  assert.equal(type(...'who rdi', 'CTRL_W').text, 'who ');
  assert.equal(type(...'who rdi', 'LEFT', 'CTRL_U').text, 'i');
  assert.equal(type(...'who', 'HOME', 'CTRL_K').text, '');
  assert.equal(type('ü', 'F5').text, 'ü');
  const at = (text: string): PromptState => ({ text, at: text.length, candidates: [] });
  assert.equal(complete(at('who rd'), ['rdi']).text, 'who rdi ');
  assert.equal(complete(at('who r'), ['rdi', 'rdx']).text, 'who rd');
  assert.equal(complete(at('who x'), []).text, 'who x');
  assert.equal(complete(at('print [rs'), ['rsp']).text, 'print [rsp ');
  assert.equal(complete(at('reverse-u'), ['reverse-until']).text, 'reverse-until ');
  assert.deepEqual(complete({ text: 'br nmi', at: 2, candidates: [] }, ['break']), {
    text: 'break  nmi',
    at: 6,
    candidates: [],
  });
});

test('the history keeps what is being typed', () => {
  const history = new History();
  history.add('one');
  history.add('two');
  assert.equal(history.move(-1, 'draft'), 'two');
  assert.equal(history.move(-1, 'two'), 'one');
  assert.equal(history.move(-1, 'one'), undefined);
  assert.equal(history.move(1, 'one'), 'two');
  assert.equal(history.move(1, 'two'), 'draft');
  assert.equal(history.move(1, 'draft'), undefined);
});

test('Tab on a screen that is too small goes nowhere, and the pane is still there when it is larger again', async () => {
  const screen = new Screen();
  screen.controller.draw({ width: 20, height: 5 });
  screen.controller.key('TAB');
  screen.controller.key('SHIFT_TAB');
  has(await screen.keys('z'), /1 source/);
});
