/**
 * The early window of an NMI handler: from its first instruction until it has brought the hardware frame out of harm's way.
 * When something unblocks NMIs there, the next NMI is delivered over the frame of the first. A machine check does so by its
 * IRET, an SMI by one in SMM code, where the processor lets it.
 *
 * KNOWN_UNFIXABLE_WITH_IDT: the processor writes the frame to one place, IST2, whatever lies there, and the handler can do
 * nothing before its first instruction. So these windows are not those of a handler but of the delivery through the IDT;
 * `asm/linux_nmi.S` says in its head how far its own reach. FRED pushes each frame below the last one, and has none.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Changes, profileNamed } from '../../src/profiles/profile.js';
import { runs } from '../../src/report/names.js';
import { traceOf } from '../../src/report/path.js';
import { agreesWithOracle } from '../support/oracle.js';
import { CONTEXTS, type Explored, explore, plainHandler, schedule, subjectOf } from '../support/search.js';

type Context = (typeof CONTEXTS)[number];

const ENTRY = 'nmi+0..+2';
const USER_PATH = 'nmi_from_user+0..+12';
/** The tests behind nmi_from_kernel+13 are reached with RSP in the NMI stack only. */
const KERNEL_PATH = 'nmi_from_kernel+0..+13, first_nmi+0..+7';
const GAP_PATH = 'nmi_from_kernel+0..+15, first_nmi+0..+7';

/** KNOWN_UNFIXABLE_WITH_IDT, for `asm/linux_nmi.S`: the boundaries in each context. */
const KNOWN_UNFIXABLE_WITH_IDT: Readonly<Record<Context, string>> = {
  kernel: `${ENTRY}, ${KERNEL_PATH}`,
  user: `${ENTRY}, ${USER_PATH}`,
  'user-rsp': `${ENTRY}, ${USER_PATH}`,
  'syscall-gap': `${ENTRY}, ${USER_PATH}, ${GAP_PATH}`,
};
/** With the IRET of the #MC handler an NMI is let through that has become pending in it. */
const MACHINE_CHECK = 'machine_check+0..+10';

/** In the contexts of ring 3 the first NMI comes at their first instruction only: where in them makes no difference. */
const FIRST_NMI: Readonly<Record<Context, readonly string[]>> = {
  kernel: [],
  user: firstAt('context_start'),
  'user-rsp': firstAt('context_start'),
  'syscall-gap': firstAt('context_start', 'entry_SYSCALL_64'),
};

function firstAt(...places: readonly string[]): string[] {
  const handlers = ['nmi..do_nmi_end', 'default_do_nmi..default_do_nmi_end', 'machine_check..simd_coprocessor_error'];
  return [...places, ...handlers, 'smi_handler..smm_nmi'].map((place) => `nmi=${place}`);
}

function search(context: Context, events: string, knobs: Changes = {}): Explored {
  return explore('linux_nmi.S', { context, events, knobs, at: FIRST_NMI[context] });
}

/** The boundaries of the windows with one kind of last event, over all properties. */
function boundaries(explored: Explored, event: string): string {
  const found = explored.result.failures.filter((f) => f.event === event);
  const sorted = [...new Map(found.map((f) => [f.address, f.boundary]))].sort(([a], [b]) => (a < b ? -1 : 1));
  return runs(sorted.map(([, boundary]) => boundary));
}

/** What an NMI executes, from its first instruction up to `end`, when nothing else happens. */
function executed(context: Context, start: string, end: string): string {
  const subject = subjectOf('linux_nmi.S', { context });
  const trace = traceOf(subject, profileNamed('intel'), [{ boundary: start, hit: 1, event: 'nmi' }]);
  const stop = subject.image.resolve(end)!;
  const path: bigint[] = [];
  for (const step of trace.steps.filter((s) => s.owner === 'NMI 1' && !s.delivered)) {
    if (step.address === stop) break;
    path.push(step.address);
  }
  const sorted = [...new Set(path)].sort((a, b) => (a < b ? -1 : 1));
  return runs(sorted.map((address) => subject.image.name(address)));
}

test('the windows below are whole paths: up to repeat_nmi from ring 0, up to the push of the saved rdx from ring 3', () => {
  assert.equal(executed('kernel', 'context_start+0', 'repeat_nmi'), KNOWN_UNFIXABLE_WITH_IDT.kernel);
  assert.equal(executed('user', 'context_start+0', 'nmi_from_user+13'), KNOWN_UNFIXABLE_WITH_IDT.user);
  assert.equal(executed('user-rsp', 'context_start+0', 'nmi_from_user+13'), KNOWN_UNFIXABLE_WITH_IDT['user-rsp']);
  // With RSP in the NMI stack, the test of DF is what tells it from a nested NMI.
  assert.equal(executed('syscall-gap', 'entry_SYSCALL_64+0', 'repeat_nmi'), `${ENTRY}, ${GAP_PATH}`);
});

for (const context of CONTEXTS) {
  const window = KNOWN_UNFIXABLE_WITH_IDT[context];

  test(`linux_nmi.S, ${context}, a machine check: the early window, all of it, and nothing behind it`, () => {
    const explored = search(context, 'nmi=2,mc=1');
    assert.equal(explored.result.verdict, 'fails');
    assert.equal(explored.result.stopped, undefined);
    // An NMI that was pending already is let through by the machine check; or it comes later, or in the #MC handler.
    assert.equal(boundaries(explored, 'mc'), window);
    assert.equal(boundaries(explored, 'nmi'), `${window}, ${MACHINE_CHECK}`);
  });

  test(`linux_nmi.S, ${context}, an SMI with an IRET: the same where the processor lets it unblock, else nothing`, () => {
    const kept = search(context, 'nmi=2,smi-iret=1');
    assert.equal(kept.result.verdict, 'holds');
    assert.equal(kept.result.stopped, undefined);
    const explored = search(context, 'nmi=2,smi-iret=1', { smmNmiPolicy: 'iret-unblocks' });
    assert.equal(boundaries(explored, 'nmi'), window);
    // An NMI that is pending is taken by the firmware, after that IRET: the SMI itself lets none through.
    assert.equal(boundaries(explored, 'smi-iret'), '');
  });
}

test('linux_nmi.S, kernel: only the worst policy lets a plain SMI do harm', () => {
  for (const smmNmiPolicy of ['preserved', 'iret-unblocks'] as const) {
    assert.equal(search('kernel', 'nmi=2,smi=1', { smmNmiPolicy }).result.verdict, 'holds', smmNmiPolicy);
  }
  const explored = search('kernel', 'nmi=2,smi=1', { smmNmiPolicy: 'rsm-unblocks' });
  assert.equal(boundaries(explored, 'smi'), KNOWN_UNFIXABLE_WITH_IDT.kernel);
  // The one in SMM stays pending up to RSM.
  assert.equal(boundaries(explored, 'nmi'), `smi_handler+0, ${KNOWN_UNFIXABLE_WITH_IDT.kernel}`);
});

test('linux_nmi.S holds for any number of plain SMIs, within each other and before NMIs', () => {
  assert.equal(search('kernel', 'nmi=2,smi=2').result.verdict, 'holds');
  assert.equal(search('syscall-gap', 'nmi=1,smi=2').result.verdict, 'holds');
});

test('linux_nmi_fred.S has no early window: each frame lies below the last', () => {
  for (const [events, smmNmiPolicy] of [
    ['nmi=2,mc=1', 'preserved'],
    ['nmi=2,smi-iret=1', 'iret-unblocks'],
    ['nmi=2,smi=1', 'rsm-unblocks'],
  ] as const) {
    const { result } = explore('linux_nmi_fred.S', { events, profile: 'fred', knobs: { smmNmiPolicy } });
    assert.equal(result.verdict, 'holds', events);
    assert.equal(result.stopped, undefined, events);
  }
});

test('what the early window looks like: the handler returns to itself for ever', () => {
  const explored = search('kernel', 'nmi=2,mc=1');
  const failure = explored.result.failures.find((f) => f.event === 'nmi' && f.boundary === 'machine_check+4')!;
  assert.equal(failure.property, 'progress');
  assert.match(schedule(failure.path), /^nmi@context_start\+0 mc@nmi\+0 nmi@machine_check\+4$/);
  const trace = traceOf(explored.subject, profileNamed('intel'), failure.path);
  assert.equal(trace.run.ending, 'loop');
  const owners = new Set(trace.steps.map((s) => s.owner));
  assert.deepEqual([...owners], ['NMI 1', '#MC 1', 'NMI 2']);
});

test('a second machine check before the first is over is fatal: MCIP is set, or its stack is used again', () => {
  const explored = explore(plainHandler(), { events: 'mc=2' });
  assert.deepEqual(explored.windows, {
    shutdown: { mc: 'machine_check+0..+6' },
    progress: { mc: 'machine_check+7..+10' },
  });
});

test('after a #MC handler that leaves MCG_STATUS.MCIP set, any further machine check is fatal', () => {
  const more = '.globl machine_check\nmachine_check:\n\tiretq\n';
  const { windows } = explore(plainHandler({ more }), { events: 'mc=2' });
  assert.deepEqual(windows, { shutdown: { mc: 'machine_check+0, context_start+0..+13' } });
});

test('an SMI in a trace is named, and what it interrupts is given back', () => {
  const subject = subjectOf('linux_nmi.S', { context: 'syscall-gap' });
  const trace = traceOf(subject, profileNamed('intel'), [
    { boundary: 'entry_SYSCALL_64+0', hit: 1, event: 'smi' },
    { boundary: 'entry_SYSCALL_64+2', hit: 1, event: 'smi-iret' },
  ]);
  assert.deepEqual(trace.broken, []);
  const smi = trace.steps.filter((s) => s.owner.startsWith('SMI'));
  assert.deepEqual([...new Set(smi.map((s) => s.owner))], ['SMI 1', 'SMI 2']);
  assert.deepEqual(
    smi.filter((s) => s.returned).map((s) => subject.image.name(s.address)),
    ['smi_handler+0', 'smi_handler_iret+9', 'smi_after_iret+0'],
  );
});

for (const [name, context, events, knobs, at] of [
  [
    'two NMIs and a machine check',
    'kernel',
    'nmi=2,mc=1',
    {},
    ['nmi=context_start+5', 'nmi=nmi', 'mc=nmi..repeat_nmi'],
  ],
  [
    'two NMIs and an SMI with an IRET',
    'user',
    'nmi=2,smi-iret=1',
    { smmNmiPolicy: 'iret-unblocks' },
    ['nmi=context_start+5', 'nmi=nmi_from_user+11', 'nmi=smi_handler_iret..smm_nmi', 'smi-iret=nmi..nmi_from_kernel'],
  ],
  [
    'an NMI, two SMIs and a machine check',
    'syscall-gap',
    'nmi=1,smi=2,mc=1',
    { smmNmiPolicy: 'rsm-unblocks', shadowBlocksSmi: true },
    ['nmi=entry_SYSCALL_64+1', 'smi=entry_SYSCALL_64..context_end', 'smi=nmi', 'mc=nmi', 'mc=smi_handler'],
  ],
] as const) {
  test(`the search finds just what every schedule by itself finds: ${name}`, () => {
    agreesWithOracle('linux_nmi.S', { context, events, at, knobs });
  });
}
