/*
 * Context "watching": ring 0 code on the thread stack, with a breakpoint for writes to an address that nobody writes to. The breakpoint
 * is what must come back.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	movabsq	$0x00007fffdead0000, %rax
	movq	%rax, %dr0
	movl	$0x00010401, %eax	/* L0; writes, one byte */
	movq	%rax, %dr7
watching:
	pushq	%rbx
	addq	%rdi, %rsi
	adcq	%r13, %r14
	popq	%rdi
context_end:
	jmp	context_end
