/*
 * NMI entry without any protection against nesting: the design of Linux 2.6 up to 3.2.
 *
 * Sources: the description of the problem in the mail of 2011-12-08 (seed 001_79c54b563f90cb37);
 * Cooper's list of NMI and machine-check problems, item 1.
 *
 * The handler trusts that NMIs stay blocked until its own IRET. A breakpoint or a fault in the body
 * breaks that: its handler's IRET unblocks NMIs, the next one is delivered to the same stack top and
 * writes over the frame and the registers of the first, which then can return only into itself.
 *
 * NMI stack, T = IST top - 48 (the first word below the hardware frame):
 *
 *	T+40  SS	\
 *	T+32  RSP	 |
 *	T+24  RFLAGS	 | hardware frame; it is at once the tail of pt_regs and what IRETQ returns by
 *	T+16  CS	 |
 *	T+8   RIP	/
 *	T     orig_rax = -1
 *	T-8   rdi ... T-120 r15		pt_regs begins at T-120
 */
#include "include/linux.h"

	.text

	.globl	nmi
nmi:
	/* One pt_regs, built directly below what the hardware pushed. */
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15

	/* C code wants DF clear; the interrupted code may have set it. */
	cld

	/*
	 * The saved CS does not tell whose GS base is loaded: around SYSCALL and before the exit IRET the
	 * kernel runs with the user's. Ask the base itself. EBX, which C keeps, holds 1 for "leave GS alone".
	 */
	movl	$1, %ebx
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	nmi_body
	swapgs
	xorl	%ebx, %ebx

nmi_body:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs

nmi_restore:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$8, %rsp		/* orig_rax */

irq_return:
	iretq

	.globl	irq_return
