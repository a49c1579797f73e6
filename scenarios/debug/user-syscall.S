/* Context: ring 3 goes through a door to ring 0 and back: SYSCALL, or with INT80 defined INT 0x80. */
	.section .text.user,"ax",@progbits

	.globl	context_start, context_end
context_start:
	addq	%rdi, %rsi
#ifdef INT80
	int	$0x80
#else
	syscall
#endif
	notq	%rbx
context_end:
	jmp	context_end
