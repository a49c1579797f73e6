/** Maskable interrupts, messages and interprocessor interrupts in searches. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Changes } from '../../src/profiles/profile.js';
import { agreesWithOracle } from '../support/oracle.js';
import { explore, plainHandler, runOf, source, verdict, type Windows } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** The windows of a search under the profile intel with changed knobs. */
function windowsWith(knobs: Changes, image: string, context: string, events: string): Windows {
  const { result, windows } = explore(image, { context, events, knobs });
  assert.equal(result.stopped, undefined);
  return windows;
}

// Idle ------------------------------------------------------------------------------------------------------------------

/** The idle loop: work is looked for with interrupts off, and STI lets HLT begin before an interrupt is taken. */
const IDLE = source(
  `	.text
	.globl	context_start
	.globl	context_end
	.globl	idle_halt
context_start:
	cli
	cmpl	$0, %gs:work_pending
	jne	1f
	sti
idle_halt:
	hlt
1:	movl	$0, %gs:work_pending
	sti
context_end:
	jmp	context_end
	.section .data..percpu,"aw",@progbits
	.globl	work_pending
work_pending:
	.long	0
`,
  'idle.S',
);

/** An NMI handler, and one for the interrupt that brings work. */
const WAKING = plainHandler({
  more: '.globl interrupt_0x20\ninterrupt_0x20:\n\tmovl\t$1, %gs:work_pending\n\tiretq',
});

/** The same with a return path that takes a HLT back which would begin only now. */
const WAKING_PAST_HALT = plainHandler({
  more: `.globl interrupt_0x20
interrupt_0x20:
	movl	$1, %gs:work_pending
	cmpq	$idle_halt, (%rsp)
	jne	1f
	addq	$1, (%rsp)
1:	iretq`,
});

test('C-2: STI; HLT loses no interrupt by itself', () => {
  assert.deepEqual(verdict(WAKING, { context: IDLE, events: 'intr:0x20=2' }), HOLDS);
});

test('C-4: an NMI between STI and HLT ends the shadow: an interrupt is taken before HLT, which sleeps on the work', () => {
  const found = windowsWith({ stiShadowBlocksNmi: false }, WAKING, IDLE, 'nmi=1,intr:0x20=1');
  // With the NMI at HLT: an interrupt that was pending, or that comes while the NMI is served.
  assert.deepEqual(Object.keys(found), ['sleep']);
  assert.equal(found.sleep!.nmi, 'idle_halt+0');
  assert.match(found.sleep!['intr:0x20']!, /^nmi\+0\.\./);
  assert.deepEqual(windowsWith({ stiShadowBlocksNmi: true }, WAKING, IDLE, 'nmi=1,intr:0x20=1'), {});
});

test('C-4: a return path that moves RIP behind the HLT wakes up', () => {
  const setting = { context: IDLE, events: 'nmi=1,intr:0x20=1', property: 'sleep' };
  assert.equal((verdict(WAKING, setting) as { verdict: string }).verdict, 'fails');
  assert.deepEqual(verdict(WAKING_PAST_HALT, setting), HOLDS);
});

test('a halt with interrupts off sleeps on an interrupt that is pending', () => {
  const context = source(
    '.globl context_start, context_end\ncontext_start: nop\n cli\n nop\n hlt\n sti\ncontext_end: jmp context_end\n',
    'context.S',
  );
  assert.deepEqual(verdict('linux_nmi.S', { context, events: 'intr:0x30=1' }), {
    verdict: 'fails',
    sleep: { 'intr:0x30': 'context_start+2..+4' },
  });
});

// Fake NMIs -------------------------------------------------------------------------------------------------------------

test('A-1: a vector 2 from the INTR pin runs the NMI handler without the latch: a real NMI then finds the early window', () => {
  assert.deepEqual(verdict('linux_nmi.S', { events: 'intr:2=2' }), HOLDS);
  const found = explore('linux_nmi.S', { events: 'intr:2=1,nmi=1' });
  assert.deepEqual(found.windows, {
    progress: { nmi: 'nmi+0..+2, nmi_from_kernel+0..+13, first_nmi+0..+7' },
  });
  // The NMI alone, or a real NMI in place of the fake one, does no harm.
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2' }), HOLDS);
});

test('E-1: a vector 18 from the INTR pin runs the #MC handler, and a real machine check may follow', () => {
  assert.deepEqual(verdict('linux_nmi.S', { events: 'intr:0x12=1,mc=1', property: 'shutdown' }), HOLDS);
});

// The local APIC --------------------------------------------------------------------------------------------------------

const EOI = `pushq %rax
	pushq	%rcx
	pushq	%rdx
	movl	$0x80b, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax`;

/** Handlers of two priorities that keep RBX in a slot and let interrupts in; each ends its interrupt where it is told to. */
function nesting(slot: (vector: string) => string, early: string, late: string): string {
  const one = (vector: string): string => `	.globl	interrupt_${vector}
interrupt_${vector}:
	movq	%rbx, %gs:${slot(vector)}
	sti
	${early}
	movl	$7, %ebx
	cli
	movq	%gs:${slot(vector)}, %rbx
	${late}
	iretq
`;
  return plainHandler({
    more: `${one('0x30')}${one('0x50')}
	.section .data..percpu,"aw",@progbits
slot_0x30:	.quad	0
slot_0x50:	.quad	0`,
  });
}

const EACH = (vector: string): string => `slot_${vector}`;
const SHARED = (): string => 'slot_0x30';

test('APIC-2: handlers of different priorities nest, those of the same do not', () => {
  const events = { events: 'msi:0x30=2,msi:0x50=1' };
  assert.deepEqual(verdict(nesting(EACH, '', EOI), events), HOLDS);
  // A slot for both is overwritten by the one that interrupts the other.
  assert.deepEqual(verdict(nesting(SHARED, '', EOI), events), {
    verdict: 'fails',
    context: { 'msi:0x50': 'interrupt_0x30+0..+3' },
  });
  // An EOI before the end lets a second interrupt with the same vector in.
  const early = explore(nesting(EACH, EOI, ''), events).windows;
  assert.ok(early.context?.['msi:0x30'], JSON.stringify(early));
});

test('with the local APIC, too, the search finds just what every schedule by itself finds', () => {
  const context = source(
    '.globl context_start, context_end\ncontext_start: nop\n movl %edi, %esi\n nop\ncontext_end: jmp context_end\n',
    'context.S',
  );
  agreesWithOracle(nesting(SHARED, '', EOI), { context, events: 'msi:0x30=1,msi:0x50=1' });
  agreesWithOracle(nesting(EACH, EOI, ''), { context, events: 'msi:0x30=2' });
  agreesWithOracle(nesting(EACH, '', ''), {
    context,
    events: 'msi:0x30=2,msi:0x50=1',
    at: ['msi:0x50=context_start..context_end'],
  });
  agreesWithOracle(WAKING, { context: IDLE, events: 'intr:0x20=1,nmi=1', at: ['nmi=context_start..context_end'] });
  // A breakpoint where an interrupt waits, and an NMI that is held back there.
  agreesWithOracle(nesting(SHARED, '', EOI), {
    context,
    events: 'msi:0x30=1,msi:0x50=1,bp=1',
    at: ['msi:0x30=context_start', 'msi:0x50=interrupt_0x30..interrupt_0x50', 'bp=interrupt_0x30..interrupt_0x50'],
  });
  agreesWithOracle(nesting(EACH, EOI, ''), {
    context,
    events: 'nmi=2,msi:0x30=1',
    at: ['nmi=context_start', 'nmi=nmi', 'nmi=interrupt_0x30+2', 'msi:0x30=nmi'],
  });
});

/** WRMSR with all registers kept. */
const send = (register: number, low: number, high = 0): string => `pushq %rax
	pushq	%rcx
	pushq	%rdx
	movl	$${0x800 + register}, %ecx
	movl	$${low}, %eax
	movl	$${high}, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax`;

test('APIC-5: an NMI handler that leaves work to a self-IPI gets it done right after its IRET', () => {
  const deferring = plainHandler({ after: send(0x3f, 0x60) });
  assert.deepEqual(verdict(deferring, { events: 'nmi=2' }), HOLDS);
  const explored = explore(deferring, { events: 'nmi=1' });
  const { subject, result } = explored;
  const start = subject.image.globals.get('context_start')!.address;
  const trace = runOf(
    { ...explored, subject, result },
    {
      property: 'context',
      boundary: 'context_start+0',
      address: start,
      event: 'nmi',
      instructions: 0,
      path: [{ boundary: 'context_start+0', address: start, hit: 1, event: 'nmi' }],
    },
  );
  const back = trace.steps.findIndex((step) => step.returned);
  assert.equal(trace.steps[back + 1]!.delivered, 'IRQ 0x60 1');
  assert.equal(trace.steps[back + 1]!.address, start, 'before any instruction of the context');
});

test('APIC-5: an NMI handler that sends itself an NMI never comes to an end', () => {
  const { windows } = explore(plainHandler({ after: send(0x30, 0x400) }), { events: 'nmi=1' });
  assert.deepEqual(Object.keys(windows), ['progress']);
});

test('APIC-5: an IPI reaches the other processor, an NMI by its number and all but the sender', () => {
  const context = (low: number, high: number): string =>
    source(
      `	.text
	.globl	context_start, context_end, context_start_1, context_end_1
context_start:
	${send(0x30, low, high)}
context_end:
	jmp	context_end
context_start_1:
	cli
	cmpl	$0, nmis
	jne	1f
	pause
	jmp	context_start_1
1:	sti
context_end_1:
	jmp	context_end_1
	.data
	.globl	nmis
nmis:	.long	0
`,
      'context.S',
    );
  const counting = plainHandler({ before: 'cld\n\tincl nmis' });
  const nobody = { verdict: 'fails', progress: { none: 'context_start+0' } };
  for (const [what, low, high, reached] of [
    ['by its number', 0x400, 1, true],
    ['all but self', 0xc0400, 0, true],
    ['logically', 0xc00, 2, true],
    ['by a number that nobody has', 0x400, 2, false],
    ['logically, nobody', 0xc00, 4, false],
  ] as const) {
    assert.deepEqual(
      verdict(counting, { context: context(low, high), events: 'switch=0' }),
      reached ? HOLDS : nobody,
      what,
    );
  }
});

test('what comes from outside the instruction stream needs no handler of its own', () => {
  for (const context of ['kernel', 'user', 'user-rsp', 'syscall-gap']) {
    for (const events of ['intr:0x20=2', 'msi:0xec=2', 'intr:0x20=1,msi:0x41=1,nmi=1'])
      assert.deepEqual(verdict('linux_nmi.S', { context, events }), HOLDS, `${context} ${events}`);
  }
});
