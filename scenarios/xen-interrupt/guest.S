/*
 * Context: a PV guest, which makes a hypercall and goes on.
 *
 *	OTHER_THREAD	a second processor runs another thread of the guest, which writes one word: where the RIP of a frame
 *			lies that has been pushed at the first thread's RSP. It puts an address of the guest's there
 *	NO_STACK	RSP is an address that nothing is mapped at
 */
	.section .text.user,"ax",@progbits

	.globl	context_start, context_end
context_start:
	addq	%rdi, %rsi
#ifdef NO_STACK
	movabsq	$0x700000000000, %rsp
#endif
#ifdef OTHER_THREAD
	leaq	stack_top(%rip), %rsp
#endif
	syscall
	notq	%rbx
context_end:
	jmp	context_end

#ifdef OTHER_THREAD
	.globl	context_start_1, context_end_1
context_start_1:
	leaq	context_end(%rip), %rax
	movq	%rax, stack_top-40(%rip)
context_end_1:
	jmp	context_end_1

	.section .data.user,"aw",@progbits
	.balign	16
	.skip	0x400
stack_top:
	.quad	0
#endif
