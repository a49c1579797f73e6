/* The hypervisor's code, which fills its TSS anew while it runs. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	addq	%rdi, %rsi
	call	load_system_tables
	popq	%rbx
context_end:
	jmp	context_end
