/*
 * Context "sysret-gap": the way out of a system call by SYSRET, to ring 3 code whose RSP points into the NMI stack.
 *
 * SYSRET loads neither RSP nor GS: from entry_SYSRETQ_unsafe_stack on the kernel runs with a stack pointer that the user chose, behind
 * SWAPGS with the user's GS too, and with isolation on the user's page tables from a little before that.
 *
 * The path begins where the kernel has made sure that SYSRET will do: what it asks for stands in pt_regs, RIP in the place of RCX and
 * RFLAGS in that of R11. Ring 3 code has DF set, and the signature of the end of an NMI handler is DF with an RSP like this.
 */
#include "linux.h"

	.text

	.globl	context_start
context_start:
	cli
	subq	$PT_SIZE, %rsp
	movabsq	$nmi_stack_top-104, %r10	/* T-56 */
	movq	%r10, PT_RSP(%rsp)
	movq	$after_syscall, PT_RCX(%rsp)
	movq	$RFLAGS_IF|RFLAGS_DF|RFLAGS_FIXED, PT_R11(%rsp)
	movq	%rbp, PT_RDI(%rsp)
	movq	%rbp, PT_R15(%rsp)
	jmp	syscall_return_via_sysret

	.section .text.user,"ax",@progbits

	.globl	context_end
after_syscall:
	cld
	addq	%rdi, %r15
context_end:
	jmp	context_end
