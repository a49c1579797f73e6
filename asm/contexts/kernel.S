/*
 * Context "kernel": ring 0 code on the thread stack.
 *
 * Two live words on the stack, a carry that stays live over several boundaries, and a stretch with DF
 * set, as in a copy that runs backwards: on an NMI exit DF means "in the handler", here it must not.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	pushq	%r12
	std
	movq	8(%rsp), %r8		/* the two words, read downwards */
	movq	(%rsp), %r9
	cld
	addq	%rdi, %rsi		/* the carry ... */
	leaq	(%rdx,%rcx), %r10
	movq	%rbp, %r11
	jc	.Lcarry			/* ... is used here ... */
	notq	%rax
.Lcarry:
	adcq	%r13, %r14		/* ... and here */
	popq	%rdi
	popq	%r15
context_end:
	jmp	context_end
