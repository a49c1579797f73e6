/* The processor as tboot has it: the image takes it from there to where Xen goes on booting. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	jmp	tboot
context_end:
	jmp	context_end
