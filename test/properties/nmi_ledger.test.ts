/** `nmi-ledger`: each accepted NMI is served by a body that starts after it (races.md I2). */
import assert from 'node:assert/strict';
import test from 'node:test';
import { losingBlockedNmis } from '../support/broken.js';
import { explore, plainHandler, runOf, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

test('a handler without a body loses every NMI', () => {
  const file = source('\t.globl nmi\nnmi:\n\tiretq\n');
  assert.deepEqual(verdict(file, { events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+0..+13' },
  });
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=1' }), HOLDS);
});

test('a handler that leaves out the body in one case loses the NMIs of that case', () => {
  // DF in the interrupted flags.
  const skip = (target: string): string =>
    plainHandler({ before: `cld\n\ttestl $0x400, 144(%rsp)\n\tjnz ${target}`, after: 'skipped:' });
  assert.deepEqual(verdict(skip('skipped'), { events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+3..+5' },
  });
  assert.deepEqual(verdict(skip('1f\n1:'), { events: 'nmi=1' }), HOLDS);
});

test('a body that had started before the NMI does not serve it', () => {
  // An NMI that finds the flag set leaves without a body; the flag is clear again when the handler is done.
  const flag = (skip: string): string =>
    source(`	.text
	.globl nmi
nmi:
	cmpb	$0, busy(%rip)
	${skip}
	pushq	%rax; pushq %rcx; pushq %rdx; pushq %rsi; pushq %rdi; pushq %r8; pushq %r9; pushq %r10; pushq %r11
	cld
	movb	$1, busy(%rip)
	call	do_nmi
	movb	$0, busy(%rip)
	popq	%r11; popq %r10; popq %r9; popq %r8; popq %rdi; popq %rsi; popq %rdx; popq %rcx; popq %rax
	iretq
nested:
	iretq
	.data
busy:	.byte 0
`);
  const nested = verdict(flag('jne nested'), { property: 'nmi-ledger' });
  assert.deepEqual(nested, {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'nmi+13, int3+0, do_nmi+0..+16', bp: 'do_nmi+0..+16' },
  });
  assert.deepEqual(verdict(flag('jne nested'), { events: 'nmi=2' }), HOLDS);
  assert.deepEqual(verdict(flag('nop'), { property: 'nmi-ledger' }), HOLDS);
});

test('NMIs that arrive while one is pending are one NMI: nothing is lost', () => {
  assert.deepEqual(verdict('linux_nmi_plain.S', { events: 'nmi=4' }), HOLDS);
});

test('an NMI that is still pending when the path ends is lost', () => {
  const file = plainHandler({
    exit: 'pushq 16(%rsp)\n\tpopfq\n\tmovq 24(%rsp), %rsp\n\tjmp *-40(%rsp)',
  });
  const found = verdict(file, { events: 'nmi=2', property: 'nmi-ledger' }) as { 'nmi-ledger'?: object };
  assert.ok(found['nmi-ledger']);
});

test('a processor that loses NMIs while they are blocked is not blamed on the handler', () => {
  // It has not accepted them.
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2', broken: losingBlockedNmis }), HOLDS);
});

test('the report names the return that ended the NMI without a body', () => {
  const explored = explore('linux_nmi_rfc.S', { context: 'syscall-gap', events: 'nmi=1' });
  const failure = explored.result.failures.find((f) => f.property === 'nmi-ledger')!;
  const broken = runOf(explored, failure).broken.find((b) => b.property === 'nmi-ledger')!;
  assert.equal(
    broken.explanation,
    'an NMI was delivered, and the interrupted code goes on without a body having started since',
  );
});
