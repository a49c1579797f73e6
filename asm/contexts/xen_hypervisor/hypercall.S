/*
 * Context "hypercall" on Xen's own executable: SYSCALL from a PV guest's kernel, all the way through the hypervisor and back by
 * SYSRET. RSP points into the NMI stack meanwhile, and DF is set: so the hypervisor's entry begins, and its exit ends, on a stack
 * that the guest has chosen.
 */
#include "xen.h"

	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	movq	%rsp, %rbp
	movabsq	$nmi_stack_top-104, %rsp
	std
	syscall
after_syscall:
	cld
	movq	%rbp, %rsp
	pushq	%r12
	popq	%r13
context_end:
	jmp	context_end
