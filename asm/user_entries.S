/*
 * The doors from ring 3 in their simplest right form: SYSCALL, SYSENTER and INT 0x80 (INT3: breakpoint_entry.S). Each
 * runs its C part on the thread stack and goes back by IRETQ.
 *
 * They are what a #DB meets that MOV SS has put off (debug_entry.S): it comes at the first instruction behind the door.
 *
 * Thread stack behind each door, from its top: SS, RSP, RFLAGS, CS, RIP, orig_rax, rdi … r15.
 *
 * SYSENTER saves nothing: the caller passes its return address in RCX and its RSP in RDX, as SYSEXIT wants them. Of
 * RFLAGS it clears IF alone; TF, NT and AC are the user's until the entry clears them (f2b375756c83; XSA-44 for NT). A
 * kernel that sets TF for a debugger notes in single_step (debug_entry.S) that it has cleared TF on the way in.
 *
 * Variants:
 *	SYSENTER_KEEPS_FLAGS	the flags of the user stay in force: C runs with TF, NT or AC set, and with NT the IRETQ
 *				at the end is #GP, as is each further one (CVE-2013-1917)
 *	NMI_WITHOUT_IST		an NMI uses the stack in use: in the SYSCALL entry that of the user
 */
#include "include/entry.S"

#ifdef NMI_WITHOUT_IST
	.globl	ist_2
	.set	ist_2, 0
#endif

	.text

	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	$__USER_DS
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	pushq	$-1
	PUSH_REGS
	movq	%rsp, %rdi
	call	do_syscall_64
	jmp	return_to_user
entry_SYSCALL_64_end:

	.globl	entry_SYSENTER
entry_SYSENTER:
	swapgs
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	$__USER_DS
	pushq	%rdx
	pushfq
	orl	$RFLAGS_IF, (%rsp)
	pushq	$__USER_CS
	pushq	%rcx
	pushq	$-1
#ifndef SYSENTER_KEEPS_FLAGS
	pushq	$2
	popfq
#endif
	PUSH_REGS
	movl	%gs:single_step, %eax
	orl	%eax, PT_RFLAGS(%rsp)
	movl	$0, %gs:single_step
	cld
	movq	%rsp, %rdi
	call	do_syscall_64
	jmp	return_to_user

	/* Ring 3 may use this gate. */
	.globl	dpl_128
	.set	dpl_128, 3

	.globl	interrupt_0x80
interrupt_0x80:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	gs_by_cs
	movq	%rsp, %rdi
	call	do_int80
	testb	$3, PT_CS(%rsp)
	jz	return_to_kernel
return_to_user:
	POP_REGS
	addq	$8, %rsp
	swapgs
user_iret:
	iretq

return_to_kernel:
	POP_REGS
	addq	$8, %rsp
kernel_iret:
	iretq

	.section .data..percpu,"aw",@progbits
	.balign	8
	/* RFLAGS.TF where it was set when SYSENTER came in, and the #DB handler has cleared it; else 0. */
	.weak	single_step
single_step:
	.long	0
	.long	0
