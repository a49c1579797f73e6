/*
 * RSP0 at a switch between processes of which one has page tables of its own for user mode and the other has not.
 *
 * Source: FreeBSD, tss.rsp0 and the switch to a page map without isolation (2018). With isolation, events from ring 3 come in on the
 * trampoline (entry) stack, and entries of their own move the frame to the thread stack. Without, they come to the plain
 * entries, which take it that they are on the thread stack already.
 *
 * Macro:
 *	RSP0_LEFT	the switch leaves RSP0 at the trampoline stack
 *
 * #BP's entry is the plain one. Stack: the hardware frame, orig_rax, pt_regs.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#define TSS_RSP0	4

	.text

	.globl	int3
int3:
	pushq	$-1
	PUSH_REGS
	cld
	testb	$3, PT_CS(%rsp)
	jz	.Lkernel_gs
	swapgs
.Lkernel_gs:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_debug
int3_leave:
	testb	$3, PT_CS(%rsp)
	jz	.Lno_swapgs
	swapgs
.Lno_swapgs:
	POP_REGS
	addq	$8, %rsp
	iretq

	/* From a process with isolation, which has RSP0 at the trampoline stack's top, where the TSS begins. Changes RAX, RCX. */
	.globl	switch_to_plain
switch_to_plain:
#ifndef RSP0_LEFT
	movabsq	$cpu_tss + TSS_RSP0, %rax
	movq	%gs:cpu_current_top_of_stack, %rcx
	movq	%rcx, (%rax)
#endif
	ret
