/* Ring 3 code that looks, at its end, whether the kernel has left any work undone. */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	pushq	%rbx
	movq	%rdx, %r8
	adcq	%rbp, %r10
	popq	%r13
looks:
	movl	work_pending, %r14d
context_end:
	jmp	context_end
