/* The hypervisor on the GDT of one guest's address space, and a switch to another's and back. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	lgdt	old_gdt_pointer(%rip)
	pushq	%rbx
	call	switch_there_and_back
	popq	%r12
context_end:
	jmp	context_end
