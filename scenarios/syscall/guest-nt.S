/*
 * Context: a PV guest enters the hypervisor with NT set, and is given #GP. Its handler looks where that came from: if from
 * itself, there is nothing that it could do.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start, context_end, guest_gp
context_start:
	pushfq
	orl	$0x4000, (%rsp)
	popfq
	syscall
after_syscall:
	jmp	after_syscall		/* not reached */

guest_gp:
	leaq	guest_gp(%rip), %rax
	cmpq	%rax, 24(%rsp)
guest_dies:
	je	guest_dies
	movq	48(%rsp), %rsp
context_end:
	jmp	context_end
