/* Context: the kernel is asked to load GS with a selector beyond the end of the GDT, with words of its own at the top of its stack. */
	.text

	.globl	context_start, context_end
context_start:
	pushq	%rbx
	pushq	%rbp
	subq	$256, %rsp
	movl	$0xfff3, %edi
	call	load_gs_index
	addq	$256, %rsp
	popq	%r12
	popq	%r13
	cmpq	%rbp, %r12
	jne	panic
	cmpq	%rbx, %r13
	jne	panic
context_end:
	jmp	context_end
