/** The full screen on a real terminal: what stands on it, and that the terminal is given back whatever happens. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { MAIN } from '../cli/entrace.js';
import { COUNTEREXAMPLE, SECOND_NMI } from '../support/counterexample.js';
import { HAS_TMUX, Tmux } from '../support/tmux.js';

const COMMAND = `${process.execPath} ${MAIN} debug ${COUNTEREXAMPLE}`;
const skip = HAS_TMUX ? false : 'tmux is not installed';

function terminal(t: TestContext, width: number, height: number, environment: Record<string, string> = {}): Tmux {
  const tmux = new Tmux(width, height, environment);
  t.after(() => tmux.close());
  return tmux;
}

/** The shell is back, with its screen, its cursor, its line editing, and no mouse. */
async function isRestored(tmux: Tmux, status: number): Promise<void> {
  await tmux.until(new RegExp(`^status ${status}$`, 'm'));
  assert.deepEqual(tmux.modes, { alternate: false, mouse: false, cursor: true });
  assert.match(tmux.screen, /^before$/m, 'what stood on the screen is there again');
  tmux.line('stty -a | tr " ;" "\\n\\n" | grep -x -e "-*echo" -e "-*icanon" -e "-*isig"');
  await tmux.until(/^isig\nicanon\necho$/m);
}

test('the counterexample: at its failure, backwards, another way, to the end; then the shell is back', {
  skip,
}, async (t) => {
  const tmux = terminal(t, 120, 40);
  tmux.line('echo before');
  await tmux.until(/^before$/m);
  tmux.line(`${COMMAND}; echo status $?`);
  let screen = await tmux.until(/q quit$/m);
  assert.match(screen, /^ context {2}context_start\+0 \(time 2\) .*175\/188/);
  assert.match(screen, /^ FAILURE: context is broken: rdi is not what it was$/m);
  assert.match(screen, /context BROKEN/);
  assert.deepEqual(tmux.modes, { alternate: true, mouse: true, cursor: false });

  tmux.type('S');
  screen = await tmux.until(/^ NMI 1 {2}irq_return\+0 /);
  assert.match(screen, /^ 179 ► +iretq/m);

  tmux.type(':who rdi');
  tmux.keys('Enter');
  await tmux.until(/#91 {2}nested_nmi\+6 in NMI 2 changed rdi/);
  tmux.type('a');
  screen = await tmux.until(/^ NMI 2 {2}nested_nmi\+6 /);
  assert.match(screen, / 81 ► +leaq +-48\(%rsp\), %rdi/);

  tmux.type('[');
  await tmux.until(/^ NMI 1 {2}nmi_restore\+15 .*next on this path: nmi/);
  tmux.type('k');
  await tmux.until(/^ nmi is not fired/m);
  tmux.type('c8');
  screen = await tmux.until(/no property is broken on this path/);
  assert.match(screen, /^ the path has ended: the context has come to its end/m);

  tmux.type('q');
  await isRestored(tmux, 0);
});

test('the screen follows the size of the terminal', { skip }, async (t) => {
  const tmux = terminal(t, 80, 24);
  tmux.line(COMMAND);
  let screen = await tmux.until(/q quit$/m);
  assert.equal(screen.trimEnd().split('\n').length, 24);
  assert.doesNotMatch(screen, /5 stack ─/);
  tmux.resize(200, 60);
  screen = await tmux.until(/─ 5 stack ─(?:.|\n)*q quit$/m);
  assert.equal(screen.trimEnd().split('\n').length, 60);
  for (const pane of ['1 source', '2 code', '3 registers', '4 processor', '6 timeline', '8 failures']) {
    assert.ok(screen.includes(pane), pane);
  }
  tmux.resize(30, 8);
  await tmux.until(/30x8 is too small/);
  tmux.resize(100, 30);
  screen = await tmux.until(/q quit$/m);
  assert.match(screen, /─ 6 timeline ─/);
  assert.equal(screen.trimEnd().split('\n').length, 30);
});

test('the mouse: a click in the timeline goes there', { skip }, async (t) => {
  const tmux = terminal(t, 120, 40);
  tmux.line(COMMAND);
  const rows = (await tmux.until(/q quit$/m)).split('\n');
  const y = rows.findIndex((row) => row.startsWith('latch'));
  // A press of the left button at column 9, the first state that is shown (xterm's SGR mode: ESC [ < button ; x ; y M).
  const first = Number(/^state +(\d+)/.exec(rows.find((row) => row.startsWith('state'))!)![1]);
  tmux.type(`\u001b[<0;9;${y + 1}M`);
  await tmux.until(new RegExp(` ${first}/188`));
  assert.ok(first < SECOND_NMI);
});

/** The process that the shell has started, which has written its number down. */
function pid(): number {
  return Number(readFileSync(`${COUNTEREXAMPLE}.pid`, 'utf8'));
}

test('a signal, an exception: the terminal is given back, and the status tells', { skip }, async (t) => {
  const tmux = terminal(t, 100, 30);
  for (const [signal, status] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    tmux.line('clear; echo before');
    tmux.line(`(echo $BASHPID > ${COUNTEREXAMPLE}.pid; exec ${COMMAND}); echo status $?`);
    await tmux.until(/q quit$/m);
    process.kill(pid(), signal);
    await isRestored(tmux, status);
  }

  const boom = join(COUNTEREXAMPLE, '..', 'boom.mjs');
  writeFileSync(boom, "process.on('SIGUSR2', () => { throw new Error('boom'); });\n");
  tmux.line('clear; echo before');
  tmux.line(
    `(echo $BASHPID > ${COUNTEREXAMPLE}.pid; exec ${COMMAND.replace(MAIN, `--import ${boom} ${MAIN}`)}); echo status $?`,
  );
  await tmux.until(/q quit$/m);
  process.kill(pid(), 'SIGUSR2');
  const screen = await tmux.until(/^status 1$/m);
  assert.match(screen, /Error: boom/, 'the message is to be read');
  await isRestored(tmux, 1);
});

test('Ctrl-Z gives the shell its terminal, fg takes it again', { skip }, async (t) => {
  const tmux = terminal(t, 100, 30);
  tmux.line('echo before');
  tmux.line(`${COMMAND}; echo status $?`);
  await tmux.until(/q quit$/m);
  tmux.keys('C-z');
  await tmux.until(/Stopped/);
  assert.deepEqual(tmux.modes, { alternate: false, mouse: false, cursor: true });
  tmux.line('fg; echo status $?');
  await tmux.until(/q quit$/m);
  tmux.type('S');
  await tmux.until(/^ NMI 1 {2}irq_return\+0 /);
  tmux.type('q');
  await isRestored(tmux, 0);
});

test('bytes that are no UTF-8, a character in two pieces: nothing hangs', { skip }, async (t) => {
  const tmux = terminal(t, 100, 30);
  tmux.line(COMMAND);
  await tmux.until(/q quit$/m);
  tmux.type(':');
  for (const byte of ['80', 'bf', 'c3', 'a4', 'ff', '41']) tmux.keys('-H', byte);
  await tmux.until(/^:.*ä.*A$/m);
});

test('a terminal that can show no screen is refused in one line that names --batch', { skip }, async (t) => {
  const tmux = terminal(t, 120, 20);
  tmux.line(`TERM=dumb ${COMMAND}; echo status $?`);
  const screen = await tmux.until(/^status 2$/m);
  assert.match(
    screen,
    /^entrace: TERM=dumb: this terminal cannot show a screen; use --batch, and commands on standard/m,
  );
});

test('NO_COLOR: no colour, and the same text', { skip }, async (t) => {
  const coloured = terminal(t, 100, 30);
  coloured.line(COMMAND);
  const plain = terminal(t, 100, 30, { NO_COLOR: '1' });
  plain.line(COMMAND);
  const [a, b] = [await coloured.until(/q quit$/m), await plain.until(/q quit$/m)];
  assert.equal(a, b);
  const colours = (styles: ReadonlySet<number>): number[] =>
    [...styles].filter((n) => (n >= 30 && n <= 48 && n !== 39) || (n >= 90 && n <= 107));
  assert.notDeepEqual(colours(coloured.styles), []);
  assert.deepEqual(colours(plain.styles), []);
});
