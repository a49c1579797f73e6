/* The guest of sti_hlt.S on the first of two processors; the second has something to do of its own. */
#include "kvm/sti_hlt.S"

	.text
	.globl	context_start_1, context_end_1
context_start_1:
	addq	%rdi, %rsi
	adcq	%r13, %r14
context_end_1:
	jmp	context_end_1
