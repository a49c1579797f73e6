/* Context: a process runs that is not given back, and the next one when that has been ended. */
	.globl	context_start, context_end, next_process
#ifdef BAD_RIP
	.section .text.user,"ax",@progbits
#else
	.text
#endif
context_start:
	jmp	start_process

	.text
next_process:
	nop
context_end:
	jmp	context_end
