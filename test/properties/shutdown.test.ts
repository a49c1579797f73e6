/** `shutdown`: no double fault and no triple fault. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUX } from '../../src/platforms/linux.js';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const EVERYWHERE = { nmi: 'context_start+0..+13' };
const KEPT = '\t.section .data..percpu, "aw"\nkept:\t.quad 0';
/** #DF comes back for a second try with the good RSP. */
const REPAIR = `.globl double_fault
double_fault:
	addq	$8, %rsp
	pushq	%rax
	movq	%gs:kept, %rax
	movq	%rax, 32(%rsp)
	popq	%rax
	iretq
${KEPT}`;

/** A push at the end of the handler, with RSP as `load` leaves it. */
const pushWith = (load: string): string =>
  plainHandler({ exit: `movq %rsp, %gs:kept\n\t${load}\n\tpushq %rax\n\tpopq %rax\n\tiretq`, more: REPAIR });

test('a push without memory, whose fault has no stack either, is a double fault', () => {
  const file = pushWith('movl $0x1000, %esp');
  assert.deepEqual(verdict(file, { events: 'nmi=1', property: 'shutdown,context,progress,nmi-ledger' }), {
    verdict: 'fails',
    shutdown: EVERYWHERE,
  });
  assert.deepEqual(verdict(pushWith('nop'), { events: 'nmi=1' }), { verdict: 'holds' });
  const explored = explore(file, { events: 'nmi=1' });
  const broken = runOf(explored, explored.result.failures[0]!).broken.find((b) => b.property === 'shutdown')!;
  assert.equal(broken.explanation, '#DF was delivered in place of vector 14');
});

test('a double fault without a stack shuts the processor down', () => {
  // IST 1 in the TSS.
  const file = pushWith(`pushq %rax
	movabsq	$${LINUX.tssBase + 0x24n}, %rax
	movq	$0x1000, (%rax)
	popq	%rax
	movl	$0x1000, %esp`);
  const explored = explore(file, { events: 'nmi=1' });
  assert.deepEqual(explored.windows, { shutdown: EVERYWHERE });
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.match(broken.explanation, /triple fault/);
});

test('a machine check within a machine check says so', () => {
  const explored = explore(plainHandler({}), { events: 'mc=2' });
  assert.deepEqual(explored.windows, {
    progress: { mc: 'machine_check+7..+10' },
    shutdown: { mc: 'machine_check+0..+6' },
  });
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.equal(broken.explanation, 'a machine check came while MCG_STATUS.MCIP was set: the processor shuts down');
});

test('a fault that its handler can take is none', () => {
  const file = plainHandler({
    after: 'movl $1, %eax\n\txorl %edx, %edx\n\tdivl divisor(%rip)',
    more: `.globl divide_error\ndivide_error:\n\tmovl $1, divisor(%rip)\n\tiretq\n\t.data\ndivisor:\t.long 0`,
  });
  assert.deepEqual(verdict(file, { events: 'nmi=1' }), { verdict: 'holds' });
});
