/*
 * #VC on a stack of its own (IST), as a Linux guest under SEV-ES has it, with an NMI entry and a SYSCALL entry around it.
 *
 * Sources: 315562c9af3d and 02772fb9b68e (5.10), the NMI entry moves the IST slot of #VC; 62441a1fb532 and 799de1baaf35, a #VC
 * leaves its IST stack at once, for one that can be trusted; 545ac14c16b5, RSP tells nothing in ring 3 or in the SYSCALL gap.
 *
 * #VC can come at nearly every instruction that the hypervisor intercepts, also in the SYSCALL gap: it needs an IST stack. The
 * handler stays there only until it has copied its pt_regs to the stack that was interrupted, the thread stack, or a
 * fallback stack. An NMI in that stretch whose body meets a #VC of its own would have it on the same IST top. So the NMI entry,
 * if it has interrupted code on the #VC stack, lets the slot of the TSS point below what lies there; the old value is kept in the
 * word at the new top, and the exit takes it back from there.
 *
 * Macros:
 *	NO_IST_SHIFT		the NMI entry leaves the slot alone
 *	SHIFT_BY_RSP		the NMI entry believes every RSP that points into the #VC stack
 *	SHIFT_BY_CS_AND_RSP	the same, but not one of ring 3
 *	STAY_ON_RSP		#VC goes to the interrupted stack whenever ring 0 was interrupted
 *	ENTRY_GAP_ONLY		the gap behind the SYSCALL entry is known, that before SYSRET is not
 *
 * The body of the NMI executes INT3, which stands for an instruction that is intercepted: its gate has the same IST slot and
 * its handler is the same. (The machine raises #VC itself as an event only, and the search would then name the boundary of that event,
 * and not where the NMI came.)
 *
 * Stacks: #VC stack: hardware frame with error code, pt_regs. The stack it moves to: pt_regs. NMI stack: pt_regs. One NMI
 * at a time: the #VC in its body unblocks NMIs, which is another matter (linux_nmi.S).
 */
#include "include/linux.h"
#include "include/pt_regs.S"
#include "include/kernel_gs.S"
#include "include/user_rsp.S"

	/* The IST slot of vectors 3 and 29. */
	.globl	ist_3
	.globl	ist_29
	.set	ist_3, 5
	.set	ist_29, 5

#define VC_STKSZ	4096
#define THREAD_STKSZ	8192

	.text

	.globl	int3
int3:
	pushq	$0			/* the error code */
	jmp	vmm_communication

	.globl	vmm_communication
vmm_communication:
	PUSH_REGS
	cld
	LOAD_KERNEL_GS
	movq	%rsp, %rdi

	/* RSI: the top of the stack to go to. */
#ifdef STAY_ON_RSP
	testb	$3, PT_CS(%rdi)
	jnz	.Lthread_stack
	movq	PT_RSP(%rdi), %rsi
	jmp	vc_copy
#else
	IF_RSP_OF_USER .Lthread_stack
	movq	PT_RSP(%rdi), %rsi
	UNLESS_RSP_IN thread_stack_top, THREAD_STKSZ, .Lnot_thread
	jmp	vc_copy
.Lnot_thread:
	UNLESS_RSP_IN nmi_stack_top, EXCEPTION_STKSZ, .Lnot_nmi
	jmp	vc_copy
.Lnot_nmi:
	UNLESS_RSP_IN vc_stack_top, VC_STKSZ, .Lunknown_stack
	jmp	vc_copy
.Lunknown_stack:
	movabsq	$vc_fallback_stack_top, %rsi
	jmp	vc_copy
#endif
	/* Ring 3 and the gaps: the thread stack is empty then. */
.Lthread_stack:
	movq	%gs:cpu_current_top_of_stack, %rsi

vc_copy:
	subq	$PT_SIZE, %rsi
	xchgq	%rsi, %rdi
	andq	$~7, %rdi
	movq	%rdi, %rdx
	movl	$PT_SIZE / 8, %ecx
vc_copy_words:
	rep movsq
vc_leave_ist:
	movq	%rdx, %rsp
vc_off_ist:
	movq	%rsp, %rdi
	movq	PT_ORIG_RAX(%rdi), %rsi
	call	exc_vmm_communication
	GIVE_BACK_GS
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	LOAD_KERNEL_GS
	movq	%rsp, %rdi
#ifndef NO_IST_SHIFT
	/* RSI: the slot; RAX: its value; RCX: the new one. */
	movabsq	$cpu_tss + TSS_IST(5), %rsi
	movq	(%rsi), %rax
	movq	%rax, %rcx
#if defined(SHIFT_BY_CS_AND_RSP)
	testb	$3, PT_CS(%rdi)
	jnz	.Lnot_on_vc_stack
#elif !defined(SHIFT_BY_RSP)
	IF_RSP_OF_USER .Lnot_on_vc_stack
#endif
	UNLESS_RSP_IN vc_stack_top, VC_STKSZ, .Lnot_on_vc_stack
	movq	PT_RSP(%rdi), %rcx
	andq	$~7, %rcx
.Lnot_on_vc_stack:
	subq	$8, %rcx
	movq	%rax, (%rcx)
	movq	%rcx, (%rsi)
#endif
nmi_body:
	xorl	%esi, %esi
	call	do_nmi
nmi_leave:
#ifndef NO_IST_SHIFT
	movabsq	$cpu_tss + TSS_IST(5), %rsi
	movq	(%rsi), %rax
	movq	(%rax), %rax
	movq	%rax, (%rsi)
#endif
	GIVE_BACK_GS
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	movl	$0xb0d1, %eax
	int3
	movl	$0xb0d2, %ecx
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

#include "include/syscall_path.S"
