/*
 * #BP on an IST stack, as in Linux up to 4.15: it shares the debug stack with #DB.
 *
 * Sources: the mail of 2011-12-08 (seed 001_79c54b563f90cb37), which lets breakpoints into NMI handlers; 228bdaa95fb8 and
 * 42181186ad4d (3.3), by which an NMI that has interrupted the debug stack changes the IDT so that its own breakpoints stay where they
 * are; d8ba61ba58c8 (4.16), by which #BP no longer has an IST stack.
 *
 * An NMI that interrupts the handler, and whose body hits a breakpoint itself, makes the processor start at the same stack top
 * again: over the frame and the registers of the first. The kernel is interrupted only: GS is left alone.
 *
 * Debug stack, from the top down: SS RSP RFLAGS CS RIP, orig_rax = -1, rdi ... r15.
 *
 * Variants:
 *	NO_IST	the gate has no IST slot: a breakpoint's frame comes below what it interrupts
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#ifndef NO_IST
	.globl	ist_3
	.set	ist_3, 3
#endif

	.text

	.globl	int3
	.globl	int3_end
int3:
	pushq	$-1
	PUSH_REGS
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_int3
	POP_REGS
	addq	$8, %rsp
int3_return:
	iretq
int3_end:
	int3				/* not reached: gives the label an address of its own */
