/** The views: plain data that is the same for every front end. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { View } from '../../src/debugger/view.js';
import { opened, play, printed, rfc, TWO_PROCESSORS, where } from '../support/debugger.js';
import { source } from '../support/search.js';

test('a view is plain data: it comes back from JSON as it was', async () => {
  const debug = await rfc();
  debug.go(90);
  const view = debug.view({ around: 'all' });
  const back = JSON.parse(JSON.stringify(view)) as View;
  assert.equal(back.position.boundary, 'nested_nmi+2');
  assert.deepEqual(JSON.parse(JSON.stringify(back)), back);
});

test('the source has the line of RIP, the boundaries of each line, and breakpoints', async () => {
  const debug = await rfc();
  debug.go(91);
  const number = debug.addBreakpoint(debug.image.resolve('nested_nmi+7')!);
  const { source: text } = debug.view({ around: 2 });
  assert.match(text!.file, /asm\/linux_nmi_rfc\.S$/);
  assert.deepEqual(
    text!.lines.map(({ number: n, current, boundaries, breakpoints }) => [
      n,
      current,
      boundaries.map(({ boundary }) => boundary).join(),
      breakpoints,
    ]),
    [
      [79, false, '', []],
      [80, false, '', []],
      [81, true, 'nested_nmi+6', []],
      [82, false, 'nested_nmi+7', [number]],
      [83, false, 'nested_nmi+8', []],
    ],
  );
  const other = debug.view({ file: text!.file, line: 47, around: 0 }).source!;
  assert.deepEqual(
    other.lines.map(({ text }) => text.trim()),
    ['pushq\t%rdx'],
  );
  assert.equal(debug.view({ file: 'nosuch.S' }).source, undefined);
});

test('the disassembly is Capstone in either syntax, with labels and boundaries', async () => {
  const debug = await rfc();
  debug.go(91);
  const text = (syntax: 'att' | 'intel'): string =>
    debug
      .view({ syntax, around: 1 })
      .disassembly.map((i) => `${i.boundary} ${i.text}${i.current ? ' <' : ''}`)
      .join('; ');
  assert.match(
    text('att'),
    /^nested_nmi\+5 jb 0x[0-9a-f]+; nested_nmi\+6 leaq -0x30\(%rsp\), %rdi <; nested_nmi\+7 movq %rdi, %rsp$/,
  );
  assert.match(text('intel'), /lea rdi, \[rsp - 0x30\] <; nested_nmi\+7 mov rsp, rdi$/);
});

test('registers and flags say what the last transition changed', async () => {
  const debug = await rfc();
  debug.go(92);
  const changed = debug.view().registers.filter(({ before }) => before !== undefined);
  assert.deepEqual(
    changed.map(({ name, before }) => `${name} ${before}`),
    ['rdi 0x707070707070707', `rip 0x${debug.image.resolve('nested_nmi+6')!.toString(16)}`],
  );
  assert.equal(changed[0]!.value, '0xfffffe0000006fa0');
  debug.go(1);
  const { flags } = debug.view();
  assert.deepEqual(
    flags.find(({ name }) => name === 'IF'),
    { name: 'IF', set: false, changed: true },
  );
});

test('the stack of NMIs has named slots, frames, writers and RSP', async () => {
  const debug = await rfc();
  debug.go(86);
  const stack = debug.view().stacks.find(({ name }) => name === 'NMI')!;
  assert.ok(stack.current);
  assert.deepEqual(
    stack.frames.map(({ owner, bottom }) => `${owner} ${bottom}`),
    ['NMI 1 0xfffffe0000006fd8', 'NMI 2 0xfffffe0000006fd8'],
  );
  const word = (below: number) => stack.words.find((w) => w.below === below)!;
  assert.deepEqual(
    [word(40).slot, word(40).word, word(40).frame, word(40).note],
    ['original frame', 'RIP', 2, 'nmi_restore+15'],
  );
  assert.deepEqual(word(40).writer, { index: 84, owner: 'NMI 2', boundary: 'nmi_restore+15', delivery: true });
  assert.deepEqual([word(48).rsp, word(48).changed, word(48).writer!.boundary], [true, true, 'nmi+0']);
  assert.equal(word(64).slot, 'saved');
});

test('frames go away with the return that gives back, and the words stay', async () => {
  const debug = await rfc();
  debug.go(175);
  const view = debug.view();
  assert.deepEqual(view.deliveries, []);
  assert.deepEqual(view.stacks.find(({ name }) => name === 'NMI')!.frames, []);
});

test('an error code is part of the frame', async () => {
  const debug = await opened('linux_nmi.S');
  debug.fire('gp');
  const [frame] = debug.view().deliveries;
  assert.equal(BigInt(frame!.top) - BigInt(frame!.bottom), 48n);
  const words = debug
    .view()
    .stacks.flatMap((s) => s.words)
    .filter((w) => w.frame === frame!.id);
  assert.deepEqual(
    words.map(({ word }) => word),
    ['SS', 'RSP', 'RFLAGS', 'CS', 'RIP', 'error code'],
  );
});

test("a FRED frame's words have FRED's names", async () => {
  const debug = await opened('linux_nmi_fred.S', { profile: 'fred' });
  debug.fire('nmi');
  const words = debug
    .view()
    .stacks.flatMap((s) => s.words)
    .filter((w) => w.frame !== undefined);
  assert.equal(words.length, 8);
  assert.deepEqual(words.map(({ word }) => word).slice(2, 7), ['SS', 'RSP', 'RFLAGS', 'CS', 'RIP']);
});

test('the timeline has a lane each for latch, CPL, GS, CR3, stack, body and owner', async () => {
  const debug = play(await opened('linux_nmi.S', { context: 'user' }), 'nmi@context_start+0');
  const { timeline } = debug.view({ timeline: { from: 0, to: debug.cursor.branch.length } });
  const lane = (name: string): string =>
    timeline.lanes
      .find((l) => l.name === name)!
      .segments.map(({ value }) => value)
      .join(' ');
  assert.equal(lane('latch'), 'open blocked open');
  assert.equal(lane('CPL'), '3 0 3');
  assert.equal(lane('GS'), 'user kernel user');
  assert.equal(lane('body'), '- C part body C part -');
  assert.equal(lane('owner'), 'context NMI 1 context');
  assert.match(lane('stack'), /^user NMI .*user$/);
  for (const { segments } of timeline.lanes) {
    assert.equal(segments[0]!.from, 0);
    assert.equal(segments.at(-1)!.to, timeline.to + 1);
    assert.deepEqual(
      segments.slice(1).map(({ from }) => from),
      segments.slice(0, -1).map(({ to }) => to),
    );
  }
  assert.deepEqual(timeline.marks.map(({ kind, text }) => `${kind} ${text}`).slice(0, 2), [
    'event nmi',
    'delivery NMI 1',
  ]);
  // A piece of it is the same piece.
  const part = debug.view({ timeline: { from: 5, to: 9 } }).timeline;
  assert.deepEqual([part.from, part.to], [5, 9]);
});

test('with page-table isolation CR3 has names', async () => {
  const debug = play(await opened('user_entry_pti.S', { context: 'user' }), 'nmi@context_start+0');
  const { timeline } = debug.view({ timeline: { from: 0, to: 60 } });
  const values = timeline.lanes.find(({ name }) => name === 'CR3')!.segments.map(({ value }) => value);
  assert.ok(values.length > 1 && values.every((v) => !v.startsWith('0x')), values.join());
});

test('events that cannot be fired say why', async () => {
  const debug = await opened('linux_nmi.S');
  debug.fire('nmi');
  debug.fire('nmi');
  const action = (event: string) => debug.view().actions.find((a) => a.event === event)!;
  assert.deepEqual(
    [action('nmi').possible, action('nmi').reason],
    [false, 'an NMI is pending already, and a second one would be the same'],
  );
  assert.equal(action('bp').possible, true);
  await debug.reverseStep();
  assert.match(action('nmi').reason!, /^NMIs are blocked: it is latched/);
  await debug.continue();
  for (const { possible, reason } of debug.view().actions)
    assert.deepEqual([possible, reason], [false, 'the path has ended']);
});

test('several processors: whose turn it is, and the registers of the others', async () => {
  const debug = await opened('linux_nmi.S', { context: source(TWO_PROCESSORS) });
  assert.equal(debug.view().position.processors, 2);
  const rip = debug.readRegister('rip', 1);
  assert.equal(debug.image.name(rip), 'context_start_1+0');
  debug.fire('switch');
  assert.equal(where(debug), '1 CPU 1 context context_start_1+0');
  debug.fire('nmi');
  assert.equal(where(debug), '2 CPU 1 NMI 1 nmi+0');
  assert.equal(debug.image.name(debug.readRegister('rip', 0)), 'context_start+0');
  const other = debug.view({ processor: 0 }).registers.find(({ name }) => name === 'rip')!;
  assert.equal(other.note, 'context_start+0');
  assert.match(await printed(debug, 'deliveries'), /CPU 1 NMI 1 {2}interrupts CPU 1 context at context_start_1\+0/);
  await debug.reverseStep(2);
  assert.equal(where(debug), '0 CPU 0 context context_start+0');
});
