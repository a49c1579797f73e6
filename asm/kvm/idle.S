/* A processor that goes idle, without a hypervisor. */
	.text

	.globl	context_start, context_end
context_start:
	addq	%rdi, %rsi
	call	cpu_idle
	movq	%r13, %r14
context_end:
	jmp	context_end
