/*
 * Pieces that the small entry paths share: the registers of pt_regs, and the question whose GS base is in force.
 * Macros only: they emit nothing by themselves.
 *
 * pt_regs, from high to low: the frame (SS, RSP, RFLAGS, CS, RIP), orig_rax or the error code, rdi … r15.
 */
#ifndef ENTRACE_ENTRY_S
#define ENTRACE_ENTRY_S

#include "linux.h"

#define RFLAGS_TF		0x100
#define RFLAGS_NT		0x4000
#define RFLAGS_RF		0x10000
#define RFLAGS_AC		0x40000

/* RSP: the error code, or the word that takes its place. 15 instructions. */
	.macro	save_registers
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
	.endm

/* 15 instructions; RSP: the error code again. */
	.macro	restore_registers
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
	.endm

/* What a delivery leaves of the interrupted code's flags and C must not find: the direction of strings, and SMAP turned off. */
	.macro	clear_user_flags
	cld
	clac
	.endm

/*
 * "Paranoid": the base itself tells whose it is, for the interrupted CS does not (between an entry from ring 3 and its SWAPGS,
 * and on the way out, the CS is the kernel's and GS the user's). EBX, which C keeps, is 1 for "leave GS alone". A user who sets a
 * base in the upper half himself (WRGSBASE) deceives the sign; a kernel that lets him must save and load the base instead.
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
