/** A guard taken out of Debian's real entry_64.S turns the verdict red, at the boundary that it guards, and nowhere else. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { parseBound, parsePlaces } from '../../src/explore/bound.js';
import { search } from '../../src/explore/explorer.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { loadSubject } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { selectProperties } from '../../src/properties/index.js';
import { downloaded } from '../support/downloads.js';
import { assemblerSettings, type Change, compiled, entrySource } from '../support/linux_tree.js';
import { directory, windowsOf } from '../support/search.js';

const assembler = await Assembler.create();

interface Guard {
  readonly what: string;
  readonly change: Change;
  readonly context: string;
  readonly events: string;
  readonly features: readonly string[];
  /** Where events may fire, as `--at` says it. */
  readonly at?: readonly string[];
  /** property → event → boundaries. */
  readonly fails: object;
  /** A function that is "the body", instead of what it calls. */
  readonly body?: string;
  /** What the broken code does then never repeats a state: the search stops there, and says so. */
  readonly open?: true;
}

/** Breakpoints of a search: in what serves the NMI. */
const BODY = ['bp=default_do_nmi..default_do_nmi_end'];
const ISOLATED = ['pti', 'pcid', 'fsgsbase', 'smap'];

const GUARDS: readonly Guard[] = [
  {
    what: 'DF set behind the store that clears "NMI executing", not before it',
    change: [
      '	std\n	movq	$0, 5*8(%rsp)		/* clear "NMI executing" */\n',
      '	movq	$0, 5*8(%rsp)		/* clear "NMI executing" */\n	std\n',
    ],
    context: 'kernel',
    events: 'nmi=2,bp=1',
    at: BODY,
    features: ISOLATED,
    fails: { progress: { nmi: 'nmi_restore+17' } },
  },
  {
    what: '"NMI executing" never cleared',
    change: ['	movq	$0, 5*8(%rsp)		/* clear "NMI executing" */\n', ''],
    context: 'kernel',
    events: 'nmi=2',
    at: ['nmi=context_start..context_end'],
    features: [],
    fails: { 'nmi-ledger': { nmi: 'context_start+0..+13' } },
  },
  {
    what: 'no test whether an NMI has interrupted repeat_nmi..end_repeat_nmi',
    change: ['	cmpq	8(%rsp), %rdx\n	ja	nested_nmi_out\n', ''],
    context: 'kernel',
    events: 'nmi=3,bp=1',
    at: BODY,
    features: [],
    fails: {
      progress: { nmi: 'repeat_nmi+0' },
      context: { nmi: 'repeat_nmi+4..+6' },
      'stack-bounds': { nmi: 'repeat_nmi+4..+6' },
    },
  },
  {
    // The handlers then return into each other, and nmi_state counts down in 2^32 rounds.
    what: 'no test of "NMI executing"',
    change: ['	cmpl	$1, -8(%rsp)\n	je	nested_nmi\n', ''],
    context: 'kernel',
    events: 'nmi=2,bp=1',
    at: ['bp=exc_nmi..exc_nmi_end'],
    body: 'exc_nmi',
    features: [],
    fails: {
      'body-reentry': { bp: 'exc_nmi+0..+17' },
      progress: { bp: 'exc_nmi+0..+2' },
      'handler-view': { bp: 'exc_nmi+0..+17' },
    },
    open: true,
  },
  {
    what: 'RSP in the NMI stack taken for a nested NMI whatever DF is',
    change: ['	testb	$(X86_EFLAGS_DF >> 8), (3*8 + 1)(%rsp)\n	jz	first_nmi	/* RSP was user controlled. */\n', ''],
    context: 'syscall-gap',
    events: 'nmi=1',
    features: ISOLATED,
    fails: { 'nmi-ledger': { nmi: 'entry_SYSCALL_64+0..+3' } },
  },
  {
    what: 'no CLD at the start of asm_exc_nmi',
    change: [
      '	ASM_CLAC\n	cld\n\n	/* Use %rdx as our temp variable throughout */',
      '	ASM_CLAC\n\n	/* Use %rdx as our temp variable throughout */',
    ],
    context: 'user',
    events: 'nmi=1',
    features: [],
    fails: { flags: { nmi: 'context_start+4..+6' } },
  },
  {
    what: "the NMI exit does not give the user's page tables back",
    change: ['	RESTORE_CR3 scratch_reg=%r15 save_reg=%r14\n', ''],
    context: 'syscall-gap',
    events: 'nmi=1',
    features: ISOLATED,
    fails: { 'handler-view': { nmi: 'entry_SYSCALL_64+0..+6' } },
  },
  {
    what: "the NMI exit does not give the user's GS back, with FSGSBASE",
    change: ['	wrgsbase	%rbx\n	jmp	nmi_restore\n', '	jmp	nmi_restore\n'],
    context: 'sysret-gap',
    events: 'nmi=1',
    features: ['fsgsbase'],
    fails: {
      context: { nmi: 'entry_SYSRETQ_unsafe_stack+1, entry_SYSRETQ_unsafe_stack+3' },
      'handler-view': { nmi: 'entry_SYSRETQ_unsafe_stack+1, entry_SYSRETQ_unsafe_stack+3' },
    },
  },
  {
    what: "the NMI exit does not give the user's GS back, without FSGSBASE",
    change: ['nmi_swapgs:\n	swapgs\n', 'nmi_swapgs:\n'],
    context: 'syscall-gap',
    events: 'nmi=1',
    features: [],
    fails: {
      environment: { nmi: 'entry_SYSCALL_64+0' },
      progress: { nmi: 'entry_SYSCALL_64+0' },
      'handler-view': { nmi: 'entry_SYSCALL_64+0' },
      'untrusted-stack': { nmi: 'entry_SYSCALL_64+0' },
    },
  },
  {
    what: "paranoid_exit does not give the user's GS back",
    change: [
      '	wrgsbase	%rbx\n	jmp		restore_regs_and_return_to_kernel\n',
      '	jmp		restore_regs_and_return_to_kernel\n',
    ],
    context: 'syscall-gap',
    events: 'mc=1',
    features: ISOLATED,
    fails: {
      context: { mc: 'entry_SYSCALL_64+0' },
      environment: { mc: 'entry_SYSCALL_64+0' },
      'handler-view': { mc: 'entry_SYSCALL_64+0' },
    },
  },
  {
    what: 'SWAPGS of paranoid_entry before its test',
    change: [
      '	testl	%edx, %edx\n	js	.Lparanoid_kernel_gsbase\n',
      '	swapgs\n	testl	%edx, %edx\n	js	.Lparanoid_kernel_gsbase\n',
    ],
    context: 'kernel',
    events: 'mc=1',
    features: [],
    fails: { context: { mc: 'context_start+0..+13' }, environment: { mc: 'context_start+0..+13' } },
  },
  {
    what: 'error_entry does not know the IRETQ that has faulted',
    change: ['	cmpq	%rcx, RIP+8(%rsp)\n	je	.Lerror_bad_iret\n', ''],
    context: 'bad-iret',
    events: 'nmi=1',
    at: ['nmi=context_start'],
    features: ISOLATED,
    fails: {
      environment: { none: 'context_start+0' },
      progress: { none: 'context_start+0' },
      shutdown: { none: 'context_start+0' },
    },
  },
];

async function verdictOf(
  file: string,
  guard: Omit<Guard, 'what' | 'change' | 'fails'>,
  linux?: string,
): Promise<object> {
  const { context, features, body } = guard;
  const stubs = body === undefined ? [] : [{ name: body, file: undefined }];
  const settings = linux === undefined ? {} : assemblerSettings(linux);
  const subject = await loadSubject(assembler, {
    files: [file],
    platform: LINUX,
    context,
    features,
    stubs,
    ...settings,
  });
  const bound = parseBound(guard.events);
  const places = parsePlaces(guard.at ?? [], subject.image, subject.platform, bound);
  const machine = machineFor(subject, profileNamed('intel'));
  const result = search(machine, subject, selectProperties(undefined), { bound, places });
  return { verdict: result.verdict, closed: result.stopped === undefined, ...windowsOf(result.failures) };
}

for (const guard of GUARDS) {
  test(guard.what, async (t) => {
    const linux = downloaded(t, 'linux');
    if (linux === undefined) return;
    const name = `guard-${GUARDS.indexOf(guard)}`;
    const text = entrySource(linux, guard.change);
    const expected = { verdict: 'fails', closed: guard.open === undefined, ...guard.fails };
    assert.deepEqual(await verdictOf(compiled(linux, text, directory, name), guard), expected);
    // The same text by the project's own assembler: the same boundaries.
    const source = join(directory, `${name}-own.S`);
    writeFileSync(source, text);
    assert.deepEqual(await verdictOf(source, guard, linux), expected);
  });
}

test('and the file as it is holds for each of them', async (t) => {
  const linux = downloaded(t, 'linux');
  if (linux === undefined) return;
  const object = compiled(linux, entrySource(linux), directory, 'as-it-is');
  const source = join(directory, 'as-it-is.S');
  writeFileSync(source, entrySource(linux));
  const settings = new Map(GUARDS.map((g) => [`${g.context} ${g.events} ${g.at} ${g.body} ${g.features}`, g]));
  for (const [setting, guard] of settings) {
    const holds = { verdict: 'holds', closed: true };
    assert.deepEqual(await verdictOf(object, guard), holds, setting);
    if (guard.context === 'kernel') assert.deepEqual(await verdictOf(source, guard, linux), holds, setting);
  }
});
