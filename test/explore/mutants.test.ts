/** linux_nmi.S with one guard taken out: each guard is there for a window, and the search names that window exactly. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { unblockingOnAnyReturn, withoutNmiBlocking } from '../support/broken.js';
import { CONTEXTS, mutant, type Setting, source, verdict } from '../support/search.js';

type Change = readonly [string, string];

/** What a mutant breaks in each context; it holds in those that are not named. */
function breaks(
  name: string,
  changes: readonly Change[],
  setting: Setting,
  expected: Readonly<Partial<Record<(typeof CONTEXTS)[number], object>>>,
): void {
  test(`linux_nmi.S ${name}`, () => {
    const file = mutant('linux_nmi.S', ...changes);
    for (const context of CONTEXTS) {
      const windows = expected[context];
      const found = verdict(file, { ...setting, context });
      assert.deepEqual(found, windows ? { verdict: 'fails', ...windows } : { verdict: 'holds' }, context);
    }
  });
}

const EXECUTING_TEST: Change = ['\tcmpl\t$1, -8(%rsp)\n\tje\tnested_nmi\n', ''];
const RANGE_TEST: Change = [
  '\tleaq\trepeat_nmi(%rip), %rdx\n\tcmpq\t%rdx, 8(%rsp)\n\tjb\t.Ltest_executing\n' +
    '\tleaq\tend_repeat_nmi(%rip), %rdx\n\tcmpq\t%rdx, 8(%rsp)\n\tjb\tnested_nmi_out\n',
  '',
];
const RSP_UPPER: Change = ['\tja\tfirst_nmi\n', ''];
const RSP_LOWER: Change = ['\tsubq\t$EXCEPTION_STKSZ, %rdx\n\tcmpq\t%rdx, 32(%rsp)\n\tjb\tfirst_nmi\n', ''];
const DF_TEST: Change = ['\ttestl\t$RFLAGS_DF, 24(%rsp)\n\tjz\tfirst_nmi\n', ''];
const STD_THEN_CLEAR = '\tstd\n\tmovq\t$0, 40(%rsp)\n';
const NO_STATE_WORD: readonly Change[] = [
  ['\tjne\tdo_nmi_latch\n', ''],
  ['\tdecl\t%gs:nmi_state\n\tjnz\tnmi_restart\n', '\tmovl\t$NMI_NOT_RUNNING, %gs:nmi_state\n'],
];

// The body's C part, where NMIs have been unblocked by the breakpoint: nmi_restart+5..+6 restores CR2, which nothing here changes.
const BODY_PART = 'do_nmi+0..+5, nmi_restart+0..+4, nmi_restart+7..+9';

breaks(
  'without the test of the state word in do_nmi: the body is entered twice',
  NO_STATE_WORD,
  {},
  {
    // In the kernel path the executing word does the same work.
    ...Object.fromEntries(
      (['user', 'user-rsp', 'syscall-gap'] as const).map((context) => [
        context,
        { 'body-reentry': { nmi: 'int3+0, default_do_nmi+0..+16', bp: 'default_do_nmi+0..+16' } },
      ]),
    ),
  },
);

test('linux_nmi.S without the executing test: the first NMI is overwritten', () => {
  // Without the state word, that is: with it, the loop that the overwriting makes counts nmi_state round 2^32 values.
  const bp = `${BODY_PART}, default_do_nmi+0..+16`;
  const nmi = `${BODY_PART}, int3+0, default_do_nmi+0..+16`;
  assert.deepEqual(verdict(mutant('linux_nmi.S', EXECUTING_TEST, ...NO_STATE_WORD)), {
    verdict: 'fails',
    progress: { nmi: `end_repeat_nmi+27..+28, nmi_restore+0..+16, ${nmi}`, bp },
    'handler-view': { nmi, bp },
    'body-reentry': { nmi: 'int3+0, default_do_nmi+0..+16', bp: 'default_do_nmi+0..+16' },
  });
});

test('linux_nmi.S without the executing test: a loop that counts for very long fails, and is not called closed', () => {
  const found = verdict(mutant('linux_nmi.S', EXECUTING_TEST)) as { verdict: string; stopped?: string };
  assert.equal(found.verdict, 'fails');
  assert.match(found.stopped!, /^from \S+ on after .*, 50,000 instructions ran without coming back/);
});

breaks(
  'without the range test: an NMI in repeat_nmi spoils the frame that is being renewed',
  [RANGE_TEST],
  { events: 'nmi=3,bp=1' },
  {
    kernel: {
      progress: { nmi: 'repeat_nmi+0' },
      context: { nmi: 'repeat_nmi+4..+6' },
      'stack-bounds': { nmi: 'repeat_nmi+4..+6' },
    },
    'syscall-gap': {
      progress: { nmi: 'repeat_nmi+0' },
      context: { nmi: 'repeat_nmi+4..+6' },
      'stack-bounds': { nmi: 'repeat_nmi+4..+6' },
    },
  },
);

breaks('without the range test: two NMIs do not show it', [RANGE_TEST], { events: 'nmi=2,bp=1' }, {});

test('linux_nmi.S with the tests in the wrong order, executing before range: a nested NMI spoils the frame', () => {
  const range = RANGE_TEST[0].replace('.Ltest_executing', '.Ltest_rsp');
  const file = mutant('linux_nmi.S', RANGE_TEST, [EXECUTING_TEST[0], `${EXECUTING_TEST[0]}${range}.Ltest_rsp:\n`]);
  const spoilt = { nmi: 'repeat_nmi+4..+6' };
  assert.deepEqual(verdict(file, { events: 'nmi=3,bp=1' }), {
    verdict: 'fails',
    context: spoilt,
    'stack-bounds': spoilt,
  });
  assert.deepEqual(verdict(file), { verdict: 'holds' });
});

breaks(
  'without the lower bound of the RSP test: an NMI while the kernel copies backwards is lost',
  [RSP_LOWER],
  { events: 'nmi=1' },
  {
    kernel: { 'nmi-ledger': { nmi: 'context_start+3..+5' } },
  },
);

test('linux_nmi.S without the upper bound of the RSP test: an NMI on a stack above the NMI stack is lost', () => {
  // Ring 0 on the debug stack, which lies above; DF set for one instruction.
  const context = source(
    `	.text
	.globl	context_start, context_end
context_start:
	movabsq	$nmi_stack_top + 0x800, %rsp
	std
	nop
	cld
context_end:
	jmp	context_end
`,
    'debug-stack.S',
  );
  const file = mutant('linux_nmi.S', RSP_UPPER);
  assert.deepEqual(verdict(file, { context, events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+2..+3' },
  });
  assert.deepEqual(verdict('linux_nmi.S', { context, events: 'nmi=1' }), { verdict: 'holds' });
});

breaks(
  'without the DF test: an NMI in the SYSCALL gap is lost',
  [DF_TEST],
  { events: 'nmi=1' },
  {
    'syscall-gap': { 'nmi-ledger': { nmi: 'entry_SYSCALL_64+0..+2' } },
  },
);

breaks(
  'without the test of CS: an NMI on a forged RSP with DF set is lost',
  [['\ttestb\t$3, 16(%rsp)\n\tjz\tnmi_from_kernel\n', '\tjmp\tnmi_from_kernel\n']],
  { events: 'nmi=1' },
  {
    'user-rsp': { 'nmi-ledger': { nmi: 'context_start+6..+7' } },
    'syscall-gap': { 'nmi-ledger': { nmi: 'context_start+3' } },
  },
);

breaks(
  'with the executing word cleared before STD: one boundary between them',
  [[STD_THEN_CLEAR, '\tmovq\t$0, 40(%rsp)\n\tstd\n']],
  {},
  {
    kernel: { progress: { nmi: 'nmi_restore+17' } },
    'syscall-gap': { progress: { nmi: 'nmi_restore+17' } },
  },
);

breaks(
  'without STD: an NMI at the last IRET',
  [[STD_THEN_CLEAR, '\tmovq\t$0, 40(%rsp)\n']],
  {},
  {
    kernel: { progress: { nmi: 'irq_return+0' } },
    'syscall-gap': { progress: { nmi: 'irq_return+0' } },
  },
);

breaks(
  'without CLD in the kernel path: DF reaches the C part from the context and from the exit',
  [['had set. */\n\tcld\n', 'had set. */\n']],
  {},
  {
    kernel: { flags: { nmi: 'nmi_restore+17, irq_return+0, context_start+3..+5' } },
    'syscall-gap': { flags: { nmi: 'nmi_restore+17, irq_return+0' } },
  },
);

breaks(
  'without CLD in the user path: DF reaches the C part from user mode',
  [['\tswapgs\n\tcld\n', '\tswapgs\n']],
  { events: 'nmi=1' },
  {
    user: { flags: { nmi: 'context_start+4..+6' } },
    'user-rsp': { flags: { nmi: 'context_start+6..+7' } },
    'syscall-gap': { flags: { nmi: 'context_start+3' } },
  },
);

const SPLIT = { 'nmi-ledger': { nmi: 'nmi_restart+8..+9, int3+0', bp: 'nmi_restart+8..+9' } };
breaks(
  'with the decrement of nmi_state in three steps: an NMI between load and store is lost',
  [['\tdecl\t%gs:nmi_state\n', '\tmovl\t%gs:nmi_state, %eax\n\tdecl\t%eax\n\tmovl\t%eax, %gs:nmi_state\n']],
  {},
  { user: SPLIT, 'user-rsp': SPLIT, 'syscall-gap': SPLIT },
);

const GS = (at: string): object => ({ environment: { nmi: at }, progress: { nmi: at } });
breaks(
  'without the test of the GS base: the C part runs with the user GS',
  [['\ttestl\t%edx, %edx\n\tjs\t.Lkernel_gs\n', '\tjmp\t.Lkernel_gs\n']],
  {},
  {
    user: GS('user_return+0'),
    'user-rsp': GS('user_return+0'),
    'syscall-gap': GS('user_return+0, entry_SYSCALL_64+0'),
  },
);

breaks(
  'without the reload of rdx in first_nmi: the context gets another rdx',
  [['\tmovq\t(%rsp), %rdx\n\n', '\n']],
  { events: 'nmi=1' },
  {
    kernel: { context: { nmi: 'context_start+0..+13' } },
    'syscall-gap': { context: { nmi: 'entry_SYSCALL_64+0..+8' } },
  },
);

test('a machine that does not mask NMIs breaks linux_nmi.S where its head says that it cannot bear that', () => {
  const setting = { events: 'nmi=2', broken: withoutNmiBlocking };
  // Up to repeat_nmi in the kernel path.
  assert.deepEqual(verdict('linux_nmi.S', setting), {
    verdict: 'fails',
    progress: { nmi: 'nmi+0..+2, nmi_from_kernel+0..+13, first_nmi+0..+7' },
  });
  // Up to the push of the saved rdx in the user path.
  assert.deepEqual(verdict('linux_nmi.S', { ...setting, context: 'user' }), {
    verdict: 'fails',
    progress: { nmi: 'nmi+0..+2, nmi_from_user+0..+8' },
    environment: { nmi: 'nmi_from_user+4' },
    context: { nmi: 'nmi_from_user+9..+12' },
  });
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2' }), { verdict: 'holds' });
});

test('a machine that unblocks NMIs on any return breaks linux_nmi_plain.S without a breakpoint', () => {
  const setting = { events: 'nmi=2', broken: unblockingOnAnyReturn };
  // From the RET of the body on; an NMI that came before is delivered there.
  assert.deepEqual(verdict('linux_nmi_plain.S', setting), {
    verdict: 'fails',
    progress: { nmi: 'nmi+0..+21, nmi_body+0..+4, nmi_restore+0..+15, irq_return+0, do_nmi+0..+16' },
  });
  assert.deepEqual(verdict('linux_nmi.S', setting), { verdict: 'holds' });
  assert.deepEqual(verdict('linux_nmi_plain.S', { events: 'nmi=2' }), { verdict: 'holds' });
});

test('a replacement that is not found exactly once is refused', () => {
  assert.throws(() => mutant('linux_nmi.S', ['no such text', '']), /occurs 0 times/);
  assert.throws(() => mutant('linux_nmi.S', ['\tiretq\n', '']), /occurs \d+ times/);
});
