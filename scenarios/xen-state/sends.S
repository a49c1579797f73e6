/* Code of the hypervisor that sends something to a set of CPUs and looks at what it was. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movl	$7, %edi
	call	send_to_others
	movq	%rax, %r12
	popq	%r13
context_end:
	jmp	context_end
