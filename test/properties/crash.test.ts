/** crash, and what a processor that has given up is no longer asked for. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** An NMI handler, of which `body` is the C part, with the notes that the platform xen knows of. */
function handler(body: string): string {
  return source(`#include "include/xen.h"
#include "include/xen_frame.S"
	.text
	.globl	nmi
nmi:
	pushq	$0
	SAVE_ALL
	movq	%rsp, %rdi
	call	do_nmi
	RESTORE_ALL
	addq	$8, %rsp
	iretq
	.globl	do_nmi, do_nmi_end
do_nmi:
	GET_PERCPU %rax
${body}
do_nmi_end:
	int3
	.section .data..percpu,"aw",@progbits
	.globl	crash_notes
	.type	crash_notes, @object
	.size	crash_notes, 16
crash_notes:
	.quad	0, 0
`);
}

const NOTES = '\tmovq $1, crash_notes(%rax)\n\tmovq $2, crash_notes+8(%rax)\n';
const STOP = (label: string): string => `\t.globl ${label}\n${label}:\n\thlt\n\tjmp ${label}\n`;

/** A context of one processor in which another kernel begins, or of two. */
function context(first: string, second?: string): string {
  const one = (suffix: string, text: string): string =>
    `\t.globl context_start${suffix}, context_end${suffix}\ncontext_start${suffix}:\n${text}context_end${suffix}:\n\tjmp context_end${suffix}\n`;
  return source(
    `#include "include/xen.h"\n#include "include/xen_frame.S"\n\t.text\n${one('', first)}${second === undefined ? '' : one('_1', second)}`,
    'context.S',
  );
}

const NOTHING = context('\tnop\n');
const ONE = { platform: 'xen', context: NOTHING, events: 'nmi=2' };

test('a processor that stops for good may do so with NMIs blocked, and one pending', () => {
  assert.deepEqual(verdict(handler(NOTES + STOP('crash_stopped')), ONE), HOLDS);
});

test('elsewhere a halt in a handler is the end of the system', () => {
  const result = verdict(handler(NOTES + STOP('another_place')), { ...ONE, property: 'progress,nmi-latch' });
  assert.deepEqual(result, {
    verdict: 'fails',
    progress: { nmi: 'context_start+0' },
    'nmi-latch': { nmi: 'context_start+0' },
  });
});

test('notes that are not complete where the processor stops', () => {
  for (const notes of ['', '\tmovq $1, crash_notes(%rax)\n', '\tmovq $2, crash_notes+8(%rax)\n']) {
    assert.deepEqual(verdict(handler(notes + STOP('crash_stopped')), ONE), {
      verdict: 'fails',
      crash: { nmi: 'context_start+0' },
    });
  }
});

const TAKES_OVER = '\tjmp crash_kernel\n\t.globl crash_kernel\ncrash_kernel:\n\tnop\n';
const WRITE = `\tGET_PERCPU %rax\n${NOTES}`;

test('when another kernel takes over, the notes of every processor are complete', () => {
  const both = (second: string): string => context(WRITE + TAKES_OVER, second);
  const setting = { platform: 'xen', events: 'switch=1' };
  // The second one writes its notes once the first one lets it run: before, at these boundaries, or after the takeover.
  assert.deepEqual(verdict(handler('\tret\n'), { ...setting, context: both(WRITE) }), {
    verdict: 'fails',
    crash: { none: 'context_start+0' },
  });
  const waiting = `1:\tpause\n\tcmpl $0, ready(%rip)\n\tje 1b\n${WRITE}${TAKES_OVER}`;
  const announcing = `${WRITE}\tmovl $1, ready(%rip)\n`;
  const READY = '\t.data\nready:\t.long 0\n\t.text\n';
  assert.deepEqual(verdict(handler('\tret\n'), { ...setting, context: context(READY + waiting, announcing) }), HOLDS);
});

test('what another kernel takes over is neither given back nor missed', () => {
  // The jump out of the handler leaves the interrupted code behind; without a takeover that is what is wrong.
  const leaving = (label: string): string =>
    `${NOTES}\tjmp ${label}\n\t.globl ${label}\n${label}:\n\tjmp context_end\n`;
  const setting = { ...ONE, events: 'nmi=1', property: 'context,nmi-latch,nmi-ledger,crash' };
  assert.deepEqual(verdict(handler(leaving('crash_kernel')), setting), {
    verdict: 'fails',
    'nmi-latch': { nmi: 'context_start+0' },
  });
  assert.deepEqual(verdict(handler(leaving('another_place')), setting), {
    verdict: 'fails',
    context: { nmi: 'context_start+0' },
    'nmi-latch': { nmi: 'context_start+0' },
  });
});

test('a C part that gives up has had its own pt_regs until then', () => {
  const changing = `\tmovq $0, UREGS_rip(%rdi)\n${NOTES}${STOP('crash_stopped')}`;
  assert.deepEqual(verdict(handler(changing), { ...ONE, property: 'handler-view' }), {
    verdict: 'fails',
    'handler-view': { nmi: 'context_start+0' },
  });
  assert.deepEqual(verdict(handler(NOTES + STOP('crash_stopped')), { ...ONE, property: 'handler-view' }), HOLDS);
});

test('a handler that may be entered anew from the top of its stack: its own returns are none of what it has overwritten', () => {
  // A machine check unblocks NMIs just where the call comes back to; the second NMI makes the same call, at the same RSP.
  const again = `\tcall callee\n\tnop\n${NOTES}${STOP('crash_stopped')}callee:\n\tret\n`;
  const setting = { platform: 'xen', context: NOTHING, events: 'nmi=2,mc=1', at: ['mc=do_nmi+4'] };
  assert.deepEqual(verdict(handler(again), { ...setting, property: 'handler-view,crash' }), HOLDS);
});

test('an NMI that a handler ignores on purpose is served', () => {
  const ignoring = (name: string): string =>
    source(`\t.text\n\t.globl nmi, ${name}, do_nmi\nnmi:\n${name}:\n\tiretq\ndo_nmi:\n\tret\n`);
  const setting = { ...ONE, property: 'nmi-ledger' };
  assert.deepEqual(verdict(ignoring('trap_nop'), setting), HOLDS);
  assert.deepEqual(verdict(ignoring('another_name'), setting), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+0' },
  });
});

test('one processor enters the other kernel: not two, and not none', () => {
  const setting = { platform: 'xen', events: 'switch=1', property: 'crash' };
  const enters = `${WRITE}\tjmp crash_kernel\n`;
  const stops = `${WRITE}\tjmp crash_stopped\n`;
  const places = '\t.globl crash_kernel, crash_stopped\ncrash_kernel:\n\thlt\n\tnop\ncrash_stopped:\n\thlt\n';
  const image = handler(`\tret\n${places}`);
  // Both have their notes before either goes on.
  const meet = (n: number): string =>
    `${WRITE}\tmovl $1, here_${n}(%rip)\n1:\tpause\n\tcmpl $0, here_${1 - n}(%rip)\n\tje 1b\n`;
  const data = '\t.data\nhere_0:\t.long 0\nhere_1:\t.long 0\n\t.text\n';
  const verdictOf = (first: string, second: string): object =>
    verdict(image, { ...setting, context: context(data + meet(0) + first, meet(1) + second) });
  assert.deepEqual(verdictOf(enters, stops), HOLDS);
  assert.deepEqual(verdictOf(stops, enters), HOLDS);
  for (const both of [enters, stops]) {
    assert.deepEqual(verdictOf(both, both), { verdict: 'fails', crash: { none: 'context_start+0' } });
  }
});
