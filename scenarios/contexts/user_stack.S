/* Ring 3 code on its own stack that makes a system call. */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	movq	%rdx, -16(%rsp)			/* in the red zone */
	syscall
after_syscall:
	adcq	%rbp, %r10
	movq	-16(%rsp), %r9
	popq	%r13
context_end:
	jmp	context_end
