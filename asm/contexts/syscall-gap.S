/*
 * Context "syscall-gap": SYSCALL from ring 3 with an RSP that points into the NMI stack.
 *
 * SYSCALL loads CS and SS, but neither RSP nor GS: for three instructions the kernel runs with a stack pointer
 * that the user chose, for one of them with the user's GS too. The user sets DF as well; the flag mask has to
 * clear it, for with DF set this is just what the end of an NMI handler looks like.
 */
#include "../include/linux.h"

	.section .text.user,"ax",@progbits

	.globl	context_start
context_start:
	addq	%rdi, %rsi
	movabsq	$nmi_stack_top-104, %rsp	/* T-56 */
	std
	syscall
after_syscall:
	jmp	after_syscall		/* not reached: the path ends in the kernel */

	.text

	.globl	entry_SYSCALL_64
	.globl	context_end
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	/* The gap ends here. What SYSCALL has left in registers goes where IRETQ would want it. */
	pushq	$__USER_DS
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	movq	24(%rsp), %r12		/* the user's RSP */
context_end:
	jmp	context_end
