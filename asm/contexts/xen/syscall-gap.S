/*
 * Context "syscall-gap" on Xen: SYSCALL from a PV guest with an RSP that points into the NMI stack, and DF set. The path
 * ends behind the gap.
 */
#include "../../include/xen.h"

	.section .text.user,"ax",@progbits

	.globl	context_start
context_start:
	addq	%rdi, %rsi
	movabsq	$nmi_stack_top-104, %rsp
	std
	syscall
after_syscall:
	jmp	after_syscall		/* not reached: the path ends in the hypervisor */

	.text

	.globl	context_end
#include "../../include/xen_lstar.S"
	movq	24(%rsp), %r12		/* the guest's RSP */
context_end:
	jmp	context_end
