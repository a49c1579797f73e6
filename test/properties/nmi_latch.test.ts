/** `nmi-latch`: NMIs are not left blocked where the interrupted code goes on, at SYSRET, at HLT. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { neverUnblocking } from '../support/broken.js';
import { plainHandler, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const EVERYWHERE = 'context_start+0..+13';

/** Gives the context back without IRET: RIP is pushed on the interrupted stack, RET takes it from there. */
const BY_RET = `pushq	%rax
	pushq	%rbx
	movq	40(%rsp), %rax
	movq	16(%rsp), %rbx
	movq	%rbx, -8(%rax)
	subq	$8, 40(%rsp)
	popq	%rbx
	popq	%rax
	pushq	16(%rsp)
	popfq
	movq	24(%rsp), %rsp
	ret`;

/** An IRET to the next instruction. */
const IRET_ON = `movq	%ss, %rax
	pushq	%rax
	leaq	8(%rsp), %rax
	pushq	%rax
	pushfq
	movq	%cs, %rax
	pushq	%rax
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:`;

test('a return by RET gives everything back but the latch', () => {
  assert.deepEqual(verdict(plainHandler({ exit: BY_RET }), { events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-latch': { nmi: EVERYWHERE },
    // The handler has enabled interrupts before: POPFQ, then RET.
    masking: { nmi: EVERYWHERE },
  });
});

test('the same return after an IRET to itself holds', () => {
  assert.deepEqual(verdict(plainHandler({ after: IRET_ON, exit: BY_RET }), { events: 'nmi=1' }), HOLDS);
});

test('the next NMI is then pending for ever', () => {
  const found = verdict(plainHandler({ exit: BY_RET }), { events: 'nmi=2' }) as Record<string, { nmi: string }>;
  assert.deepEqual(found['nmi-latch'], { nmi: EVERYWHERE });
  assert.match(found['nmi-ledger']!.nmi, /context_start\+0\.\.\+13/);
});

test('a machine whose IRET does not unblock breaks every handler', () => {
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=1', broken: neverUnblocking }), {
    verdict: 'fails',
    'nmi-latch': { nmi: EVERYWHERE },
  });
});

test('halting with NMIs blocked breaks it', () => {
  const halting = (before: string): string => source(`\t.globl nmi\nnmi:\n\t${before}\n\thlt\n\tiretq\n`);
  const found = verdict(halting('nop'), { events: 'nmi=1' }) as Record<string, object>;
  assert.deepEqual(found['nmi-latch'], { nmi: EVERYWHERE });
  const unblocked = verdict(halting(`pushq %rax\n\t${IRET_ON}\n\tpopq %rax`), { events: 'nmi=1' }) as Record<
    string,
    object
  >;
  assert.equal(unblocked['nmi-latch'], undefined);
});
