/** Whatever is typed: an answer, never an exception; and behind it the tree of paths is as sound as before. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { Debugger } from '../../src/debugger/debugger.js';
import { opened, play } from '../support/debugger.js';

const VERBS = [
  'step',
  'back',
  'next',
  'reverse-next',
  'finish',
  'reverse-finish',
  'continue',
  'reverse-continue',
  'skip',
];
const TARGETS = [
  'delivery',
  'delivery nmi',
  'failure',
  'event',
  'masked',
  'unmasked',
  'latched',
  'given-back',
  'do_nmi+2',
  'nmi hit 2',
  'nosuch',
  '',
];
const EVENTS = [
  'nmi',
  'mc',
  'smi',
  'bp',
  'db',
  'pf',
  'gp',
  'ud',
  'vc',
  'intr:0x20',
  'msi:0x40',
  'irq:0x1',
  'swint:0x80',
  'switch',
  'nosuch',
  'intr:999',
];
const EXPRESSIONS = [
  'rdi',
  '[rsp]',
  'byte[rsp+1]',
  'latch',
  'cpl == 3',
  'gs_base',
  '[0]',
  'nmi',
  '1/0',
  '((',
  '-1',
  'IF && !ZF',
  'hit > 1',
  '*rip',
];

const line = fc
  .oneof(
    { weight: 6, arbitrary: fc.constantFrom(...VERBS) },
    { weight: 2, arbitrary: fc.tuple(fc.constantFrom('until', 'reverse-until'), fc.constantFrom(...TARGETS)) },
    { weight: 4, arbitrary: fc.tuple(fc.constantFrom('fire', ''), fc.constantFrom(...EVENTS)) },
    {
      weight: 2,
      arbitrary: fc.tuple(
        fc.constantFrom('goto', 'branch'),
        fc.oneof(fc.nat(120).map(String), fc.constantFrom('start', 'end', 'who', 'failure', 'overwrite', '#7')),
      ),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(
        fc.constantFrom('who', 'print', 'x', 'x /3', 'frame', 'watch', 'rwatch', 'awatch'),
        fc.constantFrom(...EXPRESSIONS),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom('break', 'break nmi+1 if', 'break do_nmi hit 2 if'),
        fc.constantFrom(...EXPRESSIONS),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constant('set'),
        fc.constantFrom('rdi', 'rflags', 'rsp', 'rip', 'cs', 'cr3', 'gs_base', '[rsp]', '[rip]'),
        fc.constant('='),
        fc.constantFrom(...EXPRESSIONS),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'where',
        'list',
        'dis',
        'registers all',
        'flags',
        'latch',
        'deliveries',
        'frames',
        'stacks',
        'timeline',
        'branches',
        'compare 0 1',
        'failures',
        'events',
        'breakpoints',
        'delete',
        'disable 1',
        'help',
        'complete',
      ),
    },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
  )
  .map((parts) => [parts].flat().join(' '));

/** The whole state: registers, memory and what the monitor keeps. */
function stateOf(debug: Debugger): string {
  const { machine, monitor } = debug.run;
  return [machine.u32.join(), Buffer.from(machine.memory.u8).toString('base64'), monitor.stateWords().join()].join(' ');
}

for (const [image, context] of [
  ['linux_nmi.S', 'user'],
  ['linux_nmi_rfc.S', 'kernel'],
] as const) {
  test(`${image}: random commands are answered, and both ends of each branch are what they were`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 20, maxLength: 60 }), async (lines) => {
        const debug = play(await opened(image, { context }), 'nmi@context_start+0');
        const start = stateOf(debug);
        for (const text of lines) {
          const { lines: answer, quit } = await debug.command(text);
          assert.ok(answer.every((l) => typeof l === 'string'));
          if (quit) continue;
          debug.complete(text);
        }
        JSON.stringify(debug.view());
        const ends = debug.cursor.branches.map(({ id, length }) => {
          debug.go(length, id);
          return stateOf(debug);
        });
        debug.cursor.branches.forEach(({ id, length }, i) => {
          debug.go(0);
          assert.equal(stateOf(debug), start);
          debug.go(length, id);
          assert.equal(stateOf(debug), ends[i]);
        });
      }),
      {
        numRuns: 40,
        seed: 6,
        ...(process.env.ENTRACE_FUZZ ? { numRuns: Number(process.env.ENTRACE_FUZZ), seed: Date.now() } : {}),
      },
    );
  });
}
