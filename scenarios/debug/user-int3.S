/* Context: ring 3 executes an INT3, with the carry live across it. */
	.section .text.user,"ax",@progbits

	.globl	context_start, context_end
context_start:
	addq	%rdi, %rsi
	int3
	adcq	%rbp, %r10
context_end:
	jmp	context_end
