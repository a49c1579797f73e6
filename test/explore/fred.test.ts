/** A FRED handler in searches: it holds where no handler with an IDT can; and mutants of it, which do not. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Changes } from '../../src/profiles/profile.js';
import { nmiStack } from '../../src/report/stack.js';
import type { Broken, Trace } from '../../src/report/trace.js';
import { agreesWithOracle } from '../support/oracle.js';
import { explore, mutant, runOf, source, verdict, type Windows } from '../support/search.js';

const FRED = 'linux_nmi_fred.S';
const HOLDS = { verdict: 'holds' };
const profile = 'fred';

/** The windows of a search under the profile fred with changed knobs. */
function windowsWith(knobs: Changes, image: string, context: string, events: string): Windows {
  const { result, windows } = explore(image, { context, events, knobs, profile });
  assert.equal(result.stopped, undefined);
  return windows;
}

// The handler ---------------------------------------------------------------------------------------------------------

for (const context of ['kernel', 'user', 'user-rsp', 'syscall']) {
  test(`context ${context}: no boundary fails, neither with breakpoints nor with machine checks`, () => {
    const bounds = context === 'syscall' ? ['nmi=2,bp=1', 'nmi=1,mc=1'] : ['nmi=3,bp=1', 'nmi=2,mc=1'];
    for (const events of bounds) assert.deepEqual(verdict(FRED, { profile, context, events }), HOLDS, events);
  });
}

test('the early window, which a handler with an IDT cannot close, is not there', () => {
  const events = 'nmi=2,mc=1';
  const at = ['nmi=context_start+0', 'nmi=nmi', 'mc=nmi..repeat_nmi'];
  const entry = [
    'nmi=context_start+0',
    'nmi=asm_fred_entrypoint_kernel..do_nmi',
    'mc=asm_fred_entrypoint_kernel..do_nmi',
  ];
  assert.equal((verdict('linux_nmi.S', { events, at }) as { verdict: string }).verdict, 'fails');
  assert.deepEqual(verdict(FRED, { profile, events, at: entry }), HOLDS);
});

test('an SMI with an IRET does no harm under any policy of RSM', () => {
  for (const smmNmiPolicy of ['preserved', 'iret-unblocks', 'rsm-unblocks'] as const) {
    for (const context of ['kernel', 'user', 'user-rsp']) {
      assert.deepEqual(
        windowsWith({ smmNmiPolicy }, FRED, context, 'nmi=2,smi-iret=1'),
        {},
        `${smmNmiPolicy}, ${context}`,
      );
    }
  }
});

test('a body that executes an INT3 is not interrupted by the next NMI: the return of #BP leaves NMIs blocked', () => {
  for (const context of ['kernel', 'user']) {
    assert.deepEqual(verdict([FRED, 'body_int3.S'], { profile, context, events: 'nmi=3' }), HOLDS);
  }
  // With its own do_nmi left out, nothing but the processor keeps the body from being entered twice.
  const bare = mutant(FRED, ['\tjne\tfred_other_event\n', '\tjne\tfred_other_event\n\tjmp\tdefault_do_nmi\n']);
  assert.deepEqual(verdict([bare, 'body_int3.S'], { profile, events: 'nmi=3' }), HOLDS);
});

test('without the state word, an SMI that unblocks NMIs lets the body be entered twice', () => {
  const bare = mutant(FRED, ['\tjne\tfred_other_event\n', '\tjne\tfred_other_event\n\tjmp\tdefault_do_nmi\n']);
  const windows = (smmNmiPolicy: Changes['smmNmiPolicy']): Windows =>
    windowsWith({ smmNmiPolicy: smmNmiPolicy! }, bare, 'kernel', 'nmi=2,smi-iret=1');
  const twice = { 'body-reentry': { nmi: 'default_do_nmi+0..+16' } };
  assert.deepEqual(windows('preserved'), {});
  assert.deepEqual(windows('iret-unblocks'), twice);
  assert.deepEqual(windows('rsm-unblocks'), twice);
});

test('the search finds what every schedule by itself finds, with live words and without', () => {
  const image = mutant(FRED, ['#define FRED_TYPE_NMI\t\t2', '#define FRED_TYPE_NMI\t\t3']);
  agreesWithOracle(image, { profile, events: 'nmi=1,mc=1', at: ['mc=context_start', 'mc=fred_entry'] });
});

// Mutants -------------------------------------------------------------------------------------------------------------

const KERNEL = 'context_start+0..+13';
const USER = 'context_start+0..+12';

/** What one change of the handler breaks, with one NMI and one machine check; per context. */
function breaks(what: string, change: readonly [string, string], expected: Readonly<Record<string, object>>): void {
  test(what, () => {
    const image = mutant(FRED, change);
    for (const [context, windows] of Object.entries(expected)) {
      const found = verdict(image, { profile, context, events: 'nmi=1' });
      const holds = Object.keys(windows).length === 0;
      assert.deepEqual(found, { verdict: holds ? 'holds' : 'fails', ...windows }, context);
    }
  });
}

breaks(
  'the mark of the NMI is lost from its frame: NMIs stay blocked, and pt_regs has changed',
  ['do_nmi:\n', 'do_nmi:\n\tandl\t$~(1<<18), PT_SS(%rdi)\n'],
  {
    kernel: { 'nmi-latch': { nmi: KERNEL }, 'handler-view': { nmi: KERNEL } },
    user: { 'nmi-latch': { nmi: USER }, 'handler-view': { nmi: USER } },
  },
);

breaks(
  'IRETQ to ring 0: the stack level stays',
  ['kernel_return:\n\terets', 'kernel_return:\n\taddq\t$8, %rsp\n\tiretq'],
  { kernel: { context: { nmi: KERNEL } }, user: {} },
);

breaks(
  'IRETQ to ring 3 is #GP, and its handler comes to the same IRETQ',
  ['user_return:\n\teretu', 'user_return:\n\taddq\t$8, %rsp\n\tiretq'],
  { kernel: {}, user: { progress: { nmi: USER } } },
);

breaks(
  'the saved stack level is lost: ERETS stays on its level, and ERETU is refused',
  ['\tmovq\t%rsp, %rdi\n\t.endm', '\tmovq\t%rsp, %rdi\n\torl\t$3<<16, PT_CS(%rsp)\n\t.endm'],
  { kernel: { context: { nmi: KERNEL } }, user: { progress: { nmi: USER } } },
);

breaks(
  'the wrong type is taken for that of an NMI: no body',
  ['#define FRED_TYPE_NMI\t\t2', '#define FRED_TYPE_NMI\t\t3'],
  { kernel: { 'nmi-ledger': { nmi: KERNEL } }, user: { 'nmi-ledger': { nmi: USER } } },
);

breaks('ERETS to ring 3 is refused', ['user_return:\n\teretu', 'user_return:\n\terets'], {
  kernel: {},
  user: { progress: { nmi: USER } },
});

breaks('ERETU to ring 0 is refused', ['kernel_return:\n\terets', 'kernel_return:\n\teretu'], {
  kernel: { progress: { nmi: KERNEL } },
  user: {},
});

breaks(
  'SWAPGS, as with an IDT, is undefined',
  ['asm_fred_entrypoint_user:\n', 'asm_fred_entrypoint_user:\n\tswapgs\n'],
  { kernel: {}, user: { progress: { nmi: USER } } },
);

test('a return of #BP that is marked as that of an NMI lets the body be entered twice, but for the state word', () => {
  const mark = ['\tjne\tfred_other_event\n', '\torl\t$1<<18, PT_SS(%rdi)\n\tcmpl\t$FRED_TYPE_NMI, %eax\n'] as const;
  const marked = mutant(FRED, [mark[0], `${mark[1]}${mark[0]}`]);
  const bare = mutant(FRED, [mark[0], `${mark[1]}${mark[0]}\tjmp\tdefault_do_nmi\n`]);
  const setting = { profile, events: 'nmi=2,bp=1', property: 'body-reentry' };
  assert.deepEqual(verdict(marked, setting), HOLDS);
  assert.deepEqual(verdict(bare, setting), {
    verdict: 'fails',
    'body-reentry': {
      bp: 'default_do_nmi+0..+16',
      // The NMI that comes while #BP is handled, or before, waits for that return.
      nmi: 'asm_fred_entrypoint_kernel+0..+16, fred_exit_kernel+0..+14, kernel_return+0, fred_entry+0..+8, fred_other_event+0..+6, fred_other_event+14, default_do_nmi+0..+16',
    },
  });
});

test('the report names the events, and the words of the frame on the NMI stack', () => {
  const image = mutant(FRED, ['do_nmi:\n', 'do_nmi:\n\tandl\t$~(1<<18), PT_SS(%rdi)\n']);
  const broken = (context: string, boundary: string): readonly [Trace, Broken] => {
    const explored = explore(image, { profile, context, events: 'nmi=1', property: 'nmi-latch' });
    const failure = explored.result.failures.find((f) => f.boundary === boundary)!;
    const trace = runOf(explored, failure, 1, profile);
    return [trace, trace.broken.find((b) => b.property === 'nmi-latch')!];
  };
  const [called, { explanation }] = broken('syscall', 'context_start+0');
  assert.match(explanation, /^NMIs are blocked, and no ERETU or ERETS of the handler is left/);
  const delivered = called.steps.map((s) => s.delivered).filter((name) => name !== undefined);
  assert.deepEqual(delivered, ['NMI 1', 'SYSCALL 1']);
  const [trace, { step }] = broken('kernel', 'context_start+0');
  const words = nmiStack(trace, step).map((w) => w.word);
  assert.deepEqual(words.slice(0, 9), [
    'reserved',
    'event data',
    'SS',
    'RSP',
    'RFLAGS',
    'CS',
    'RIP',
    'orig_rax',
    'rdi',
  ]);
});

// What a page fault's handler is told ---------------------------------------------------------------------------------

/** The handler of #PF reads the address where `instruction` takes it from, in its second instruction. */
const reading = (instruction: string): string =>
  mutant(
    FRED,
    ['\tjne\tfred_other_event\n', '\tjne\tother\n'],
    ['do_nmi_end:\n', `other:\n\tnop\n\t${instruction}\n\tjmp\tfred_other_event\ndo_nmi_end:\n`],
  );
const FAULTS = {
  profile,
  events: 'nmi=1,pf=2',
  at: ['pf=context_start+0', 'pf=default_do_nmi+0', 'nmi=other..other+2'],
};

test('a fault in the body of an NMI changes CR2 under the handler that it interrupted, but not its event data', () => {
  assert.deepEqual(verdict(reading('movq\t%cr2, %rdx'), FAULTS), {
    verdict: 'fails',
    'fault-state': { pf: 'default_do_nmi+0' },
  });
  assert.deepEqual(verdict(reading('movq\tPT_SIZE(%rdi), %rdx'), FAULTS), HOLDS);
});

test('event data that are overwritten before the handler returns are found', () => {
  const image = mutant(FRED, ['\tmovq\t%rsp, %rdi\n\t.endm', '\tmovq\t%rsp, %rdi\n\tmovq\t$0, PT_SIZE(%rsp)\n\t.endm']);
  for (const event of ['pf', 'db']) {
    const setting = { profile, events: `${event}=1`, at: [`${event}=context_start+0`], property: 'fault-state' };
    assert.deepEqual(verdict(FRED, setting), HOLDS);
    assert.deepEqual(verdict(image, setting), { verdict: 'fails', 'fault-state': { [event]: 'context_start+0' } });
  }
});

// Bad input -----------------------------------------------------------------------------------------------------------

test('an image without what the profile needs is refused with one line', () => {
  const refused = (image: string, name: string, message: RegExp): void => {
    assert.throws(() => explore(image, { profile: name, events: 'nmi=1' }), { name: 'InputError', message });
  };
  refused(
    'linux_nmi.S',
    'fred',
    /linux_nmi\.S: no FRED entry point is defined, and with the profile fred nothing goes through the IDT; define asm_fred_entrypoint_user \(\.globl\), or use another profile$/,
  );
  refused(
    FRED,
    'intel',
    /linux_nmi_fred\.S: asm_fred_entrypoint_user is an entry point of FRED, which the profile intel does not have; use --profile fred, or define handlers for the IDT$/,
  );
  refused(
    source('\t.text\n\tnop\n\t.globl asm_fred_entrypoint_user\nasm_fred_entrypoint_user:\n\teretu\n', 'odd.S'),
    'fred',
    /odd\.S:4: asm_fred_entrypoint_user is not at the start of a page; put \.balign 4096 before it$/,
  );
});
