/* A system call that asks for an IOPL of 3 in RFLAGS. */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbp
	movl	$0x3202, %ebx
	syscall
after_syscall:
	addq	%rdi, %rsi
	popq	%r12
context_end:
	jmp	context_end
