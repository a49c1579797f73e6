/* The hypervisor's code, after it has given #DF, NMI and #MC their stacks. */
	.text

	.globl	context_start
	.globl	context_running
	.globl	context_end
context_start:
	call	init_ists
context_running:
	pushq	%rbx
	addq	%rdi, %rsi
	popq	%rbx
context_end:
	jmp	context_end
