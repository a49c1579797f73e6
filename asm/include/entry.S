/*
 * Pieces that the small entry paths share: the registers of pt_regs (PUSH_REGS, POP_REGS), and the question whose GS base is in force.
 * Macros only: they emit nothing by themselves.
 *
 * pt_regs, from high to low: the frame (SS, RSP, RFLAGS, CS, RIP), orig_rax or the error code, rdi … r15.
 */
#ifndef ENTRACE_ENTRY_S
#define ENTRACE_ENTRY_S

#include "linux.h"
#include "pt_regs.S"

#define RFLAGS_TF		0x100
#define RFLAGS_NT		0x4000
#define RFLAGS_RF		0x10000
#define RFLAGS_AC		0x40000

/* What a delivery leaves of the interrupted code's flags and C must not find: DF, and AC, which turns SMAP off. */
	.macro	clear_user_flags
	cld
	clac
	.endm

/*
 * "Paranoid": the base itself tells whose it is, for the interrupted CS does not (between an entry from ring 3 and its
 * SWAPGS, and on the way out, the CS is the kernel's and GS the user's). EBX, which C keeps, is 1 for "leave GS alone".
 * A user who sets a base in the upper half himself (WRGSBASE) deceives the sign; a kernel that lets him must save and
 * load the base instead.
 */
	.macro	paranoid_gs
	movl	$1, %ebx
	rdgsbase %rcx
	testq	%rcx, %rcx
	js	.Lparanoid\@
	swapgs
	xorl	%ebx, %ebx
.Lparanoid\@:
	.endm

	.macro	paranoid_gs_back
	testl	%ebx, %ebx
	jnz	.Lback\@
	swapgs
.Lback\@:
	.endm

/* By the interrupted CS: right for what can only be raised where CS tells the truth. */
	.macro	gs_by_cs
	testb	$3, PT_CS(%rsp)
	jz	.Lkernel\@
	swapgs
.Lkernel\@:
	.endm

#endif
