/* The hypervisor's code, which gives NMI and #MC other handlers while it runs. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	addq	%rdi, %rsi
	call	change_handlers
	popq	%rbx
context_end:
	jmp	context_end
