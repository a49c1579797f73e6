/*
 * Context "tpr" on Xen: the hypervisor's own code with a task priority of 1, so that the local APIC holds back all vectors
 * below 0x20, those of exceptions among them (10fbbbcab8). It takes effect at context_tpr.
 */
	.text

	.globl	context_start
	.globl	context_tpr
	.globl	context_end
context_start:
	movl	$1, %eax
	movq	%rax, %cr8
context_tpr:
	pushq	%rbx
	addq	%rdi, %rsi		/* the carry is live up to the ADC */
	leaq	(%rdx,%rcx), %r10
	adcq	%r13, %r14
	popq	%r15
context_end:
	jmp	context_end
