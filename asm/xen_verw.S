/*
 * The way back to a guest with a VERW just before the end, which scrubs buffers of the processor.
 *
 * VERW is an instruction of its own right: it reads a selector from memory and sets ZF if that segment can be written to. Late in
 * the exit, behind the pops, RSP has moved, and flags may be alive.
 *
 * Stack: SS, RSP, RFLAGS, CS, RIP, vector and error code; the selector for VERW is a constant.
 *
 * Variants:
 *	VERW_BEFORE_BRANCH	between the test "did it come by SYSCALL?" and the branch (0a666cf2cd), with an operand that, by an
 *				offset from before the pops (bab8391805), is another word: the guest's CS, whose segment cannot be
 *				written to. Each guest goes by SYSRET then, and one that was interrupted loses RCX and R11
 */
#include "include/xen.h"
#include "include/xen_frame.S"

	.text

	.globl	interrupt_0x30
interrupt_0x30:
	pushq	$0
	movl	$0x30, 4(%rsp)
	SAVE_ALL
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	movq	%rsp, %rdi
	call	do_IRQ

restore_all_guest:
	RESTORE_ALL
#ifndef VERW_BEFORE_BRANCH
	verw	verw_selector(%rip)
#endif
	testl	$TRAP_syscall, 4(%rsp)
#ifdef VERW_BEFORE_BRANCH
	verw	16(%rsp)
#endif
	jz	iret_exit_to_guest
	addq	$8, %rsp
	popq	%rcx
	popq	%r11
	popq	%r11
	popq	%rsp
sysret_to_guest:
	sysretq

iret_exit_to_guest:
	addq	$8, %rsp
guest_iret:
	iretq

	.section .rodata
	.balign	8
verw_selector:
	.word	__HYPERVISOR_DS32
