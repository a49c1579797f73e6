/*
 * load_gs_index: the kernel loads GS with a selector that a user has given (EDI), and the #GP that a bad one raises.
 *
 * GS must be loaded while the user's base is in force: between the two SWAPGS the kernel runs with it, and a fault of
 * the load comes with CS the kernel's and GS the user's. The handler knows that by the address of the load, exchanges,
 * and is in the kernel then like after any other fault of the kernel: it must not take the way of faults from user
 * mode, which begins at the top of the thread stack (2fa5f04f8573). The fixup, for its part, gives the user's base back
 * and loads a null selector.
 *
 * Stack: the kernel's, from where it was: SS, RSP, RFLAGS, CS, RIP, error code, rdi … r15.
 *
 * Needed from outside: a processor that keeps the base when a null selector is loaded (knob nullSelectorClearsBase), or
 * the property `environment` takes the user's new base, 0, for a foreign one.
 *
 * Variants:
 *	GS_CHANGE_UNKNOWN	the handler goes by CS alone: C runs with the GS of the user
 *	GS_CHANGE_AS_USER	having exchanged, it goes the way of faults from user mode
 */
#include "include/entry.S"

	.text

	.globl	load_gs_index
load_gs_index:
	pushfq
	cli
	swapgs
gs_change:
	movl	%edi, %gs
.Lgs_loaded:
	swapgs
	popfq
	ret
load_gs_index_end:

.Lbad_gs:
	swapgs
	xorl	%eax, %eax
	movl	%eax, %gs
	jmp	.Lgs_loaded

	.globl	general_protection
general_protection:
	PUSH_REGS
	clear_user_flags
	testb	$3, PT_CS(%rsp)
	jnz	.Lfrom_user
#ifndef GS_CHANGE_UNKNOWN
	leaq	gs_change(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	jne	.Lfrom_kernel
	swapgs
#ifdef GS_CHANGE_AS_USER
	jmp	.Lfrom_user_after_swapgs
#endif
#endif
.Lfrom_kernel:
	movq	%rsp, %rdi
	call	do_general_protection
	/* What the exception table says. */
	leaq	gs_change(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	jne	panic
	leaq	.Lbad_gs(%rip), %rcx
	movq	%rcx, PT_RIP(%rsp)
	POP_REGS
	addq	$8, %rsp
fixup_iret:
	iretq

.Lfrom_user:
	swapgs
.Lfrom_user_after_swapgs:
	/* To the top of the thread stack, which is empty when ring 3 is interrupted. */
	movq	%rsp, %rsi
	movq	%gs:cpu_current_top_of_stack, %rdi
	subq	$PT_SIZE, %rdi
	movq	%rdi, %rsp
	movl	$PT_SIZE/8, %ecx
	rep movsq
	jmp	.Lfrom_kernel

	.globl	panic
panic:
	hlt
	jmp	panic
