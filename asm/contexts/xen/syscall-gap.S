/*
 * Context "syscall-gap" on Xen: SYSCALL from a PV guest with an RSP that points into the NMI stack, and DF set.
 *
 * SYSCALL loads CS and SS, but not RSP: for three instructions the hypervisor runs with a stack pointer that the guest
 * chose. There is no per-CPU segment; each processor has a stub of its own that knows its stack. RAX waits in the word
 * that will be the guest's SS.
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

	.globl	lstar_enter
	.globl	context_end
lstar_enter:
	movabsq	%rax, stack_bottom-8
	movq	%rsp, %rax
	movabsq	$stack_bottom-8, %rsp
	/* The gap ends here. What SYSCALL has left in registers goes where IRETQ would want it. */
	pushq	%rax
	movq	8(%rsp), %rax
	movq	$FLAT_RING3_SS64, 8(%rsp)
	pushq	%r11
	pushq	$FLAT_RING3_CS64
	pushq	%rcx
	movq	24(%rsp), %r12		/* the guest's RSP */
context_end:
	jmp	context_end
