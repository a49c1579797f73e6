/*
 * Context "user-rsp": ring 3 code whose RSP points into the NMI stack.
 *
 * RSP is just a register to user code, and it may hold any number. T-56 (T = IST top - 48) is where an NMI
 * handler keeps its frames, so a handler that goes by the interrupted RSP takes this code for itself; with
 * DF set, also one that asks for DF. Nothing is accessed through that RSP: ring 3 has no right to.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movq	%rsp, %r12
	addq	%rdi, %rsi		/* the carry is live up to the ADC */
	movabsq	$nmi_stack_top-104, %rsp
	leaq	(%rcx,%rdx), %r9
	std
	movq	%rbp, %r8
	cld
	adcq	%rax, %r10
	movq	%r12, %rsp
	popq	%r13
context_end:
	jmp	context_end
