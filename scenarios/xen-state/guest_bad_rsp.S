/*
 * A guest that makes a system call with an RSP to which nothing can be pushed. RSP is just a register to it.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	addq	%rdi, %rsi
	movq	%rsp, %r12
	movabsq	$0x8000000000000000, %rsp
	syscall
after_syscall:
	movq	%r12, %rsp
context_end:
	jmp	context_end
