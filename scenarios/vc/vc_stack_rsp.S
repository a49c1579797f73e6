/*
 * Ring 3 code that makes a system call with RSP at the lowest word of the #VC stack, below which nothing is mapped. RSP
 * is just a register to it.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	movq	%rsp, %r12
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	movabsq	$vc_stack_top-4096+8, %rsp
	leaq	(%rcx, %rdx), %r9
	syscall
after_syscall:
	adcq	%rbp, %r10
	movq	%r12, %rsp
context_end:
	jmp	context_end
