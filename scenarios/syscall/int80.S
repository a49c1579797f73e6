/* Context: ring 3 starts the program, and goes on when it is done. */
	.section .text.user,"ax",@progbits

	.globl	context_start, context_end
context_start:
	jmp	int80_program
context_end:
	jmp	context_end
