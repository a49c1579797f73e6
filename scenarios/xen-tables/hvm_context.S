/* The hypervisor's code, which takes their stacks from NMI and #MC for a while. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	addq	%rdi, %rsi
	call	hvm_context
	popq	%rbx
context_end:
	jmp	context_end
