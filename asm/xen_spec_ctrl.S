/*
 * IA32_SPEC_CTRL across the exit to a guest and an NMI's entry and exit, as in Xen: the guest's value is in the register
 * from shortly before the return to it; an NMI runs with the hypervisor's, and puts the guest's back if it had come so late.
 *
 * Sources: SPEC_CTRL_ENTRY_FROM_INTR_IST and SPEC_CTRL_EXIT_TO_XEN of Xen; a2b08fbed3 (2018): the entry asked by DL whether
 * Xen was interrupted, and WRMSR took EDX for the upper half; and the overwriting of the return stack buffer used RAX, which held the
 * flags.
 *
 * Per-CPU: spec_ctrl_flags (what to do at an entry), use_shadow (the guest's value is to be in force), xen_spec_ctrl and
 * shadow_spec_ctrl (the guest's).
 *
 * Macros:
 *	EDX_LEFT_OVER	the answer that was in DL stays in EDX
 *	FLAGS_CLOBBERED	the overwriting of the return stack buffer uses RAX
 *	SHADOW_LAST	the exit sets use_shadow after it has loaded the guest's value
 *
 * Entry points for a context: exit_to_guest, and enter_from_guest; they change RAX, RCX, RDX. The C part is a BUG if the
 * register does not hold the hypervisor's value.
 *
 * NMI stack: hardware frame, orig_rax, pt_regs. One NMI at a time.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#define IST_WRMSR	1
#define IST_RSB		2

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	/* CS is enough: the context has no boundary with the user's GS in ring 0. */
	testb	$3, PT_CS(%rsp)
	jz	.Lkernel_gs
	swapgs
.Lkernel_gs:
	movl	%gs:spec_ctrl_flags, %eax
	testb	$IST_RSB, %al
	jz	nmi_rsb_done
	/* Two calls that never return; RSP back from a register. */
#ifdef FLAGS_CLOBBERED
	movq	%rsp, %rax
#else
	movq	%rsp, %rdx
#endif
	call	.Lrsb_1
	int3
.Lrsb_1:
	call	.Lrsb_2
	int3
.Lrsb_2:
#ifdef FLAGS_CLOBBERED
	movq	%rax, %rsp
#else
	movq	%rdx, %rsp
#endif
nmi_rsb_done:
	testb	$IST_WRMSR, %al
	jz	nmi_wrmsr_done
	/* From the guest: its value has been in force and is not to be put back. 1 if Xen was interrupted, else 0. */
	xorl	%edx, %edx
	testb	$3, PT_CS(%rsp)
	setz	%dl
	andl	%edx, %gs:use_shadow
#ifndef EDX_LEFT_OVER
	xorl	%edx, %edx
#endif
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movl	%gs:xen_spec_ctrl, %eax
	wrmsr
nmi_wrmsr_done:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
nmi_leave:
	testb	$3, PT_CS(%rsp)
	jz	.Lexit_to_xen
	/* To the guest, the whole exit. */
	call	exit_to_guest
	swapgs
	jmp	.Lspec_ctrl_back
.Lexit_to_xen:
	cmpl	$0, %gs:use_shadow
	je	.Lspec_ctrl_back
	xorl	%edx, %edx
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movl	%gs:shadow_spec_ctrl, %eax
	wrmsr
.Lspec_ctrl_back:
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	cmpl	%gs:xen_spec_ctrl, %eax
	jne	bug
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */
bug:
	jmp	bug

	.globl	exit_to_guest
exit_to_guest:
	movl	%gs:shadow_spec_ctrl, %eax
	xorl	%edx, %edx
	movl	$MSR_IA32_SPEC_CTRL, %ecx
#ifdef SHADOW_LAST
	wrmsr
exit_shadow_next:
	movl	$1, %gs:use_shadow
#else
	movl	$1, %gs:use_shadow
exit_wrmsr_next:
	wrmsr
#endif
exit_done:
	ret

	.globl	enter_from_guest
enter_from_guest:
	movl	$0, %gs:use_shadow
	xorl	%edx, %edx
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movl	%gs:xen_spec_ctrl, %eax
	wrmsr
	ret
enter_end:
	int3				/* not reached: gives the label an address of its own */

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	xen_spec_ctrl
spec_ctrl_flags:
	.long	IST_WRMSR | IST_RSB
use_shadow:
	.long	0
xen_spec_ctrl:
	.long	SPEC_CTRL_IBRS
shadow_spec_ctrl:
	.long	0
