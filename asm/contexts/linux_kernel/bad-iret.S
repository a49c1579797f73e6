/*
 * Context "bad-iret": a return to ring 3 whose IRETQ faults, for RIP is not canonical, and what the kernel makes of it: the fault comes in
 * ring 0 with the user's GS, and with isolation on the user's page tables, and has to look as if ring 3 had raised it.
 *
 * The path ends in the C part of #GP, which is this file's and would kill the process. It comes to an end only if pt_regs are
 * what ring 3 was to get.
 */
#include "linux.h"

#define NOT_CANONICAL	0x800000000000
#define STACK		(nmi_stack_top-104)	/* T-56 */

	.text

	.globl	context_start
context_start:
	cli
	subq	$PT_SIZE, %rsp
	movabsq	$NOT_CANONICAL, %rax
	movq	%rax, PT_RIP(%rsp)
	movq	$__USER_CS, PT_CS(%rsp)
	movq	$RFLAGS_IF|RFLAGS_FIXED, PT_RFLAGS(%rsp)
	movabsq	$STACK, %rax
	movq	%rax, PT_RSP(%rsp)
	movq	$__USER_DS, PT_SS(%rsp)
	movq	%rbp, PT_RDI(%rsp)
	movq	%rbp, PT_R15(%rsp)
	movq	%rbp, PT_RAX(%rsp)
	movq	%rbp, PT_RBX(%rsp)
	jmp	swapgs_restore_regs_and_return_to_usermode

	.globl	exc_general_protection
	.globl	context_end
	.type	exc_general_protection, @function
exc_general_protection:
	.macro	must_be offset, value
	movabsq	$\value, %rax
	cmpq	%rax, \offset(%rdi)
	jne	lost
	.endm
	must_be	PT_RIP, NOT_CANONICAL
	must_be	PT_CS, __USER_CS
	must_be	PT_RSP, STACK
	must_be	PT_SS, __USER_DS
	.irp	place, PT_RDI, PT_R15, PT_RAX, PT_RBX
	must_be	\place, 0x0505050505050505
	.endr
context_end:
	jmp	context_end
lost:
	jmp	lost
	.size	exc_general_protection, .-exc_general_protection
