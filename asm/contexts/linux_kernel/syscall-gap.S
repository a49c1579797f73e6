/*
 * Context "syscall-gap" for the kernel's own code: SYSCALL from ring 3 with an RSP that points into the NMI stack, up to the C part.
 *
 * SYSCALL loads CS and SS, but neither RSP nor GS, nor CR3: until entry_SYSCALL_64_safe_stack the kernel runs with a stack pointer
 * that the user chose, and at first with the user's GS and page tables too. The user sets DF as well; the flag mask has
 * to clear it, for with DF set this is just what the end of an NMI handler looks like.
 *
 * The path ends in do_syscall_64, which is this file's: what the entry has put into pt_regs is read there, so that it counts.
 */
#include "linux.h"

	.section .text.user,"ax",@progbits

	.globl	context_start
context_start:
	movabsq	$nmi_stack_top-104, %rsp	/* T-56 */
	std
	syscall
after_syscall:
	jmp	after_syscall		/* not reached: the path ends in the kernel */

	.text

	.globl	do_syscall_64
	.globl	context_end
	.type	do_syscall_64, @function
do_syscall_64:
	movq	PT_RSP(%rdi), %r12
	movq	PT_RIP(%rdi), %r13
	movq	PT_RFLAGS(%rdi), %r14
	movq	%rdi, %r15
context_end:
	jmp	context_end
	.size	do_syscall_64, .-do_syscall_64
