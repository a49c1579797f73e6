/** Handlers whose bug is easy to miss: what they break is not in a register when the NMI returns. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, mutant, plainHandler, source, verdict } from '../support/search.js';

test('a handler that clobbers a scratch word of the interrupted SYSCALL entry changes how the context ends', () => {
  const after = 'movq %rdi, %gs:cpu_tss_rsp2';
  // The gap runs on the user's RSP: the word is live between the store of RSP and the push of that word.
  const gs = `movl $0xc0000101, %ecx
	rdmsr
	movl $1, %ebx
	testl %edx, %edx
	js 1f
	swapgs
	xorl %ebx, %ebx
1:	cld`;
  const back = 'testl %ebx, %ebx\n\tjnz 2f\n\tswapgs\n2:';
  const settings = { context: 'syscall-gap', events: 'nmi=1' };
  assert.deepEqual(verdict(plainHandler({ before: gs, after: `${after}\n\t${back}` }), settings), {
    verdict: 'fails',
    context: { nmi: 'entry_SYSCALL_64+2..+4' },
  });
  assert.deepEqual(verdict(plainHandler({ before: gs, after: back }), settings), { verdict: 'holds' });
});

test('a nested NMI that overwrites what the interrupted body keeps on its stack is noticed', () => {
  // 248 bytes below T: the RBX that the running body has saved.
  const file = mutant('linux_nmi.S', ['nested_nmi:\n', 'nested_nmi:\n\tmovq\t%rsp, -248(%rsp)\n']);
  const { result } = explore(file, { events: 'nmi=2,bp=1', property: 'handler-view' });
  assert.equal(result.verdict, 'fails');
});

test('user code may keep words below RSP', () => {
  const clobber = (offset: number): string =>
    plainHandler({ before: `cld\n\tmovq 152(%rsp), %rax\n\tmovq %rsp, ${offset}(%rax)` });
  const user = source(`	.section .text.user,"ax",@progbits
	.globl context_start, context_end
context_start:
	pushq %rbx
	movq %rbx, -8(%rsp)
	nop
context_end:
	jmp context_end
`);
  const settings = { context: user, events: 'nmi=1', property: 'context' };
  assert.equal(explore(clobber(-128), settings).result.verdict, 'fails');
  assert.equal(explore(clobber(-136), settings).result.verdict, 'holds');
});

test('a halted processor is woken: the NMI that comes then, and what follows, are explored', () => {
  const context = (waiting: string): string =>
    source(`	.text
	.globl context_start, context_end
context_start:
	sti
	${waiting}
	pushq %rbx
	movl $7, %eax
	nop
	popq %rbx
context_end:
	jmp context_end
`);
  // Breaks what it interrupts only where EAX is 7.
  const file = plainHandler({ before: 'cld\n\tcmpl $7, 80(%rsp)\n\tjne 1f\n\tnotq 40(%rsp)\n1:' });
  for (const waiting of ['hlt', 'nop']) {
    assert.deepEqual(
      explore(file, { context: context(waiting), events: 'nmi=1', property: 'context' }).windows.context,
      waiting === 'nop' ? { nmi: 'context_start+4..+5' } : undefined,
      waiting,
    );
    assert.deepEqual(
      explore(file, { context: context(waiting), events: 'nmi=2', property: 'context' }).windows.context,
      { nmi: 'context_start+4..+5' },
      waiting,
    );
  }
});

test('a body that is entered by RET, as retpolines do, is entered', () => {
  const file = source(`	.text
	.globl nmi
nmi:
	cld
	pushq %rdi
	leaq 1f(%rip), %rdi
	pushq %rdi
	leaq do_nmi(%rip), %rdi
	pushq %rdi
	ret
1:	popq %rdi
	iretq
	.globl do_nmi, do_nmi_end
do_nmi:
	nop
	ret
do_nmi_end:
	int3
`);
  assert.deepEqual(verdict(file, { events: 'nmi=1', property: 'nmi-ledger' }), { verdict: 'holds' });
});

test('a body that the handler runs into is entered', () => {
  const file = source(`	.text
	.globl nmi, do_nmi, do_nmi_end
nmi:
	cld
do_nmi:
	nop
	nop
do_nmi_end:
	iretq
`);
  assert.deepEqual(verdict(file, { events: 'nmi=1', property: 'nmi-ledger' }), { verdict: 'holds' });
});

test('states that differ in which of thousands of words they have written are told apart', () => {
  // The first NMI clears a buffer and notes at its end whether it came at context_start; the second looks there.
  const file = (words: number): string =>
    source(`	.text
	.globl nmi
nmi:
	pushq %rax
	pushq %rcx
	pushq %rdi
	cld
	cmpl $0, started(%rip)
	jne second
	movl $1, started(%rip)
	leaq buffer(%rip), %rdi
	movl $${words}, %ecx
	xorl %eax, %eax
	rep stosq
	leaq context_start(%rip), %rax
	cmpq %rax, 24(%rsp)
	jne 1f
	movq $1, buffer+8*${words - 6}(%rip)
	jmp out
1:	movq $1, buffer+8*${words - 5}(%rip)
	jmp out
second:	cmpq $1, buffer+8*${words - 5}(%rip)
	jne out
	notq %rbx
out:	popq %rdi
	popq %rcx
	popq %rax
	iretq
	.data
	.balign 64
buffer:	.fill ${words}, 8, 0
started: .quad 0
`);
  const found = (words: number): object => verdict(file(words), { events: 'nmi=2', property: 'context' });
  const few = found(100);
  assert.deepEqual(found(4036), few);
  assert.equal((few as { verdict: string }).verdict, 'fails');
});

test('a verdict about events that could never be fired is open, not a pass', () => {
  const found = (events: string, at: readonly string[]): string =>
    explore('linux_nmi.S', { events, at }).result.verdict;
  assert.equal(found('nmi=1', ['nmi=nested_nmi']), 'open');
  assert.equal(found('nmi=1', ['nmi=write:nmi_state']), 'open');
  assert.equal(found('nmi=2', ['nmi=context_start+2', 'nmi=write:nmi_state']), 'holds');
  assert.equal(found('bp=1', []), 'open');
  assert.equal(found('nmi=0', []), 'holds');
});

test('what a path breaks before it runs away is reported, and the bound is not closed', () => {
  // A counter in memory keeps the states from coming back once the NMI is nested.
  const file = plainHandler({
    before: 'cld\n\tincl %gs:count',
    after: 'decl %gs:count',
    more: '.section .data..percpu,"aw"\ncount: .long 0',
  });
  const { result } = explore(file, { events: 'nmi=2,bp=1' });
  assert.equal(result.verdict, 'fails');
  assert.ok(result.failures.some((f) => f.property === 'body-reentry'));
  assert.match(result.stopped ?? '', /ran without coming back/);
});
