/* Context: ring 0 has a watchpoint on the variable that the NMI handler writes. */
	.text

	.globl	context_start, context_end
context_start:
	leaq	nmi_count(%rip), %rax
	movq	%rax, %dr0
	movl	$0x90402, %eax
	movq	%rax, %dr7
watching:
	pushq	%rbx
	addq	%rdi, %rsi
	adcq	%rdx, %rbp
	popq	%r13
context_end:
	jmp	context_end
