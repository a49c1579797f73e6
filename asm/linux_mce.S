/*
 * #MC against #MC: what can be done about the stretch in which a second machine check is no shutdown any more, but still
 * comes to the same IST stack.
 *
 * Sources: Cooper's list of NMI and machine-check problems, item 7 (seed 000_3ee5579ca9a792d7); 48e08d0fb265 (Linux 4.0), a
 * machine check from ring 3 is handled on the thread stack.
 *
 * While IA32_MCG_STATUS.MCIP is set, a second machine check shuts the processor down; no handler can change that. Once the
 * handler has cleared it, a second one is delivered, over the frame of the first, which is needed until the IRETQ. So the
 * frame must be elsewhere before MCIP is cleared.
 *
 * Macros:
 *	USER_ON_THREAD_STACK	from ring 3: on to the thread stack at once
 *	FRAME_TO_RSP		from ring 0: before MCIP is cleared, pt_regs goes to the stack that was interrupted. That is right for a
 *				stack of the kernel's, and for nothing else: RSP may be the user's in the SYSCALL gaps
 *	KNOW_GAPS		with FRAME_TO_RSP: in the gaps it goes to the thread stack, which is empty there
 *	CR2_KEPT		what is in CR2 is kept in R12 over the C part (FreeBSD, review D27772)
 *	MCIP_FIRST		MCIP is cleared before the C part runs: it shortens the way to the shutdown and lengthens the other
 *
 * Stacks: hardware frame, orig_rax and pt_regs on the #MC stack, pt_regs on the one it moves to.
 */
#include "include/linux.h"
#include "include/pt_regs.S"
#include "include/kernel_gs.S"
#include "include/user_rsp.S"

	/* pt_regs from RSP to below the address in RDI, and RSP with it. Changes RCX, RDX, RSI, RDI. */
	.macro	MOVE_PT_REGS
	movq	%rsp, %rsi
	subq	$PT_SIZE, %rdi
	andq	$~7, %rdi
	movq	%rdi, %rdx
	movl	$PT_SIZE / 8, %ecx
	rep movsq
	movq	%rdx, %rsp
	.endm

	.macro	CLEAR_MCIP
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	.endm

	.text

	.globl	machine_check
machine_check:
	pushq	$-1
	PUSH_REGS
	cld
	LOAD_KERNEL_GS
#ifdef USER_ON_THREAD_STACK
	testb	$3, PT_CS(%rsp)
	jz	machine_check_body
	movq	%gs:cpu_current_top_of_stack, %rdi
	MOVE_PT_REGS
#endif
machine_check_body:
#ifdef MCIP_FIRST
	CLEAR_MCIP
machine_check_cleared:
#endif
	movq	%rsp, %rdi
	xorl	%esi, %esi
#ifdef CR2_KEPT
	movq	%cr2, %r12
#endif
	call	do_machine_check
machine_check_done:
#ifdef CR2_KEPT
	movq	%cr2, %rax
	cmpq	%rax, %r12
	je	.Lcr2_kept
	movq	%r12, %cr2
.Lcr2_kept:
#endif
#ifdef FRAME_TO_RSP
	testb	$3, PT_CS(%rsp)
	jnz	machine_check_clear
#ifdef KNOW_GAPS
	movq	%rsp, %rdi
	IF_RSP_OF_USER .Lin_gap
#endif
	movq	PT_RSP(%rsp), %rdi
#ifdef KNOW_GAPS
	jmp	.Lmove
.Lin_gap:
	movq	%gs:cpu_current_top_of_stack, %rdi
.Lmove:
#endif
	MOVE_PT_REGS
#endif
machine_check_clear:
#ifndef MCIP_FIRST
	CLEAR_MCIP
machine_check_cleared:
#endif
	GIVE_BACK_GS
machine_check_restore:
	POP_REGS
	addq	$8, %rsp
machine_check_return:
	iretq

#include "include/syscall_path.S"
