/*
 * A handler of #PF that takes as much stack as one in C does: FAULT_STACK bytes for the frames of its functions, besides pt_regs.
 *
 * It stands for what is nested in an NMI's body, which all has to fit on the NMI's own stack: an exception stack has 4 KiB in Linux (8 with
 * KASAN), and until 4.15 what lay below it was another one.
 *
 * Stack: error code and pt_regs' registers (16 words), the frame of do_page_fault, one word more.
 */
#ifndef FAULT_STACK
#define FAULT_STACK	1200
#endif

#include "include/pt_regs.S"

	.text

	.globl	page_fault
page_fault:
	PUSH_REGS
	call	do_page_fault
	POP_REGS
	addq	$8, %rsp
	iretq

do_page_fault:
	movq	%cr2, %rax		/* before the next fault */
	subq	$FAULT_STACK, %rsp
	pushq	%rbx
do_page_fault_deep:
	popq	%rbx
	addq	$FAULT_STACK, %rsp
	ret
