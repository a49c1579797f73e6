/** fault-state: the handler of a #PF or #DB reads the CR2 or DR6 of its own exception. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
/** Reads CR2 in its third instruction. */
const PAGE_FAULT = `
	.globl	page_fault
page_fault:
	pushq	%rax
	nop
	movq	%cr2, %rax
	popq	%rax
	addq	$8, %rsp
	iretq`;
const SETTING = { events: 'nmi=1,pf=2', at: ['pf=context_start+0', 'pf=do_nmi+0', 'nmi=page_fault..page_fault+5'] };
/** What do_nmi of linux_nmi.S does around the body. */
const KEEPING_CR2 = { before: 'cld\n\tmovq %cr2, %r12', after: 'movq %r12, %cr2' };

test('a fault in the body of an NMI changes CR2 under the handler that it interrupted', () => {
  assert.deepEqual(verdict(plainHandler({ more: PAGE_FAULT }), SETTING), {
    verdict: 'fails',
    'fault-state': { pf: 'do_nmi+0' },
  });
});

test('a handler that puts CR2 back does not', () => {
  assert.deepEqual(verdict(plainHandler({ more: PAGE_FAULT, ...KEEPING_CR2 }), SETTING), HOLDS);
});

test('once CR2 has been read it may change', () => {
  const late = { ...SETTING, at: ['pf=context_start+0', 'pf=do_nmi+0', 'nmi=page_fault+3..page_fault+5'] };
  assert.deepEqual(verdict(plainHandler({ more: PAGE_FAULT }), late), HOLDS);
});

test('the report says what was read and what the exception had put there', () => {
  const explored = explore(plainHandler({ more: PAGE_FAULT }), SETTING);
  const trace = runOf(explored, explored.result.failures[0]!);
  const [broken] = trace.broken;
  assert.match(broken!.explanation, /^CR2 is 0x[0-9a-f]+ when the handler reads it, but its exception put 0x/);
});
