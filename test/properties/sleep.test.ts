/** sleep: the processor does not halt with work pending. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { plainHandler, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** An idle loop: halts unless there is work; `idle` is the sequence from the test to the HLT. */
function idle(text: string): string {
  return source(
    `	.text
	.globl	context_start
	.globl	context_end
context_start:
	${text}
context_end:
	jmp	context_end
`,
    'context.S',
  );
}

/** An NMI handler that makes work. */
const MAKING_WORK = plainHandler({
  before: 'cld\n\tmovl $1, %gs:work_pending',
  more: '.section .data..percpu,"aw",@progbits\n\t.globl work_pending\nwork_pending: .long 0',
});
const LOOP = 'cmpl $0, %gs:work_pending\n\tjne 2f\n\thlt\n2:\tmovl $0, %gs:work_pending';

test('work that comes between the test and the HLT is slept on', () => {
  const property = 'sleep';
  assert.deepEqual(verdict(MAKING_WORK, { context: idle(LOOP), events: 'nmi=1', property }), {
    verdict: 'fails',
    sleep: { nmi: 'context_start+1..+2' },
  });
});

test('a handler that makes no work', () => {
  assert.deepEqual(
    verdict(plainHandler({ more: '.globl work_pending\n.data\nwork_pending: .long 0' }), {
      context: idle(LOOP.replaceAll('%gs:', '')),
      events: 'nmi=1',
      property: 'sleep',
    }),
    HOLDS,
  );
});

test('an idle loop that never halts with work', () => {
  const spinning = 'cmpl $0, %gs:work_pending\n\tjne 2f\n\tnop\n2:\tmovl $0, %gs:work_pending';
  assert.deepEqual(verdict(MAKING_WORK, { context: idle(spinning), events: 'nmi=1', property: 'sleep' }), HOLDS);
});

/** A context of a Xen guest; the NMI handler may raise a softirq, and may ask for an interrupt that serves it. */
function guest(pieces: { readonly raise?: string; readonly ask?: string }): object {
  const own = source(`#include "include/xen.h"
	.text
	.globl	nmi, interrupt_0xfc
nmi:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	${pieces.raise ?? ''}
	${pieces.ask ?? ''}
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq
interrupt_0xfc:
	movl	$0, softirq_pending(%rip)
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq
	.data
softirq_pending:
	.long	0
`);
  return verdict(own, { platform: 'xen', context: 'user', events: 'nmi=1', property: 'sleep' });
}

test('user mode does not go on with work that comes first', () => {
  const raise = 'movl $1, softirq_pending(%rip)';
  const ask = 'movl $MSR_X2APIC_SELF_IPI, %ecx\n\tmovl $EVENT_CHECK_VECTOR, %eax\n\txorl %edx, %edx\n\twrmsr';
  assert.deepEqual(guest({}), HOLDS);
  assert.deepEqual(guest({ raise, ask }), HOLDS);
  assert.deepEqual(guest({ raise }), { verdict: 'fails', sleep: { nmi: 'context_start+0..+12' } });
});

test('user mode that goes on with interrupts off holds one back for ever', () => {
  // An interrupt of which the handler leaves IF clear, and one more that comes then.
  const clearing = (mask: number): string =>
    plainHandler({ more: `.globl interrupt_0x30\ninterrupt_0x30:\n\tandl $${mask}, 16(%rsp)\n\tiretq` });
  const setting = {
    context: 'user',
    events: 'msi:0x30=1,msi:0x50=1',
    at: ['msi:0x30=context_start'],
    property: 'sleep',
  };
  const { sleep } = verdict(clearing(~0x200), setting) as { sleep: Record<string, string> };
  assert.match(sleep['msi:0x50']!, /context_start\+0..\+12/);
  assert.deepEqual(verdict(clearing(-1), { ...setting, events: 'msi:0x30=1' }), HOLDS);
});
