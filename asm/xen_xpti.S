/*
 * Xen's hand-shake about CR3 with page-table isolation for PV guests, against an #MC or a #DF anywhere.
 *
 * Source: XPTI (Xen 4.11 and its back-ports): handle_ist_exception, lstar_enter, restore_all_guest and restore_all_xen;
 * d80af845de, the #DF handler that did not take part in the hand-shake.
 *
 * Three variables of each CPU, mapped in both address spaces:
 *
 *	xen_cr3		not 0: an entry must load CR3 with it
 *	pv_cr3		what an exit loads
 *	use_pv_cr3	an exit must do so, also one that goes back to Xen: what was interrupted was on its way to the guest
 *
 * An event on an IST stack takes the first and the third for itself, clears them, and puts them back when it is done. So no
 * order of the stores in entry and exit is free: use_pv_cr3 must be cleared before the entry has loaded CR3, and set, as xen_cr3
 * must be, before the exit loads it.
 *
 * Macros:
 *	CR3_FIRST	the entry loads CR3 before it clears use_pv_cr3, the exit before it sets it
 *	XEN_CR3_LAST	the exit loads CR3 before it sets xen_cr3
 *	DF_KEEPS_FLAGS	#DF loads CR3 and leaves the variables as they are
 *
 * Stacks: a handler's pt_regs on its IST stack. SYSCALL's: the user's RSP, r11, rcx and r14 on the entry stack, which
 * both address spaces map; rax above them. R14 is where the variables are (Xen has them at the end of the stack), R15 and BL are
 * what a handler gives back. GS is not used, so ring 0 leaves it to the guest.
 *
 * What is done in C here is to touch memory of the kernel's. Not named as a C part: that would have to run with the kernel's GS.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.globl	pti
	.set	pti, 1

	.macro	IST_ENTER
	PUSH_REGS
	cld
	movabsq	$percpu_area, %r14
	movq	xen_cr3(%r14), %r15
	movzbl	use_pv_cr3(%r14), %ebx
	testq	%r15, %r15
	jz	.Lcr3_loaded\@
	movb	$0, use_pv_cr3(%r14)
	movq	%r15, %cr3
	movq	$0, xen_cr3(%r14)
.Lcr3_loaded\@:
	.endm

	.macro	IST_LEAVE
	movq	%r15, xen_cr3(%r14)
	movb	%bl, use_pv_cr3(%r14)
	cmpb	$0, use_pv_cr3(%r14)
	je	.Lstay\@
	movq	pv_cr3(%r14), %rax
	movq	%rax, %cr3
.Lstay\@:
	POP_REGS
	addq	$8, %rsp
	iretq
	.endm

	.section .entry.text,"ax",@progbits

	.globl	machine_check
machine_check:
	pushq	$-1
	IST_ENTER
	call	note_event
machine_check_leave:
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	IST_LEAVE

/* Xen's stops here, after it has printed the registers; this one goes back, so that it can be seen what it has done. */
	.globl	double_fault
double_fault:
#ifdef DF_KEEPS_FLAGS
	PUSH_REGS
	cld
	movabsq	$percpu_area, %r14
	movq	xen_cr3(%r14), %r15
	movzbl	use_pv_cr3(%r14), %ebx
	testq	%r15, %r15
	jz	double_fault_report
	movq	%r15, %cr3
#else
	IST_ENTER
#endif
double_fault_report:
	call	note_event
double_fault_leave:
	IST_LEAVE

	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	movabsq	%rax, cpu_tss-8		/* the top word of the entry stack */
	movq	%rsp, %rax
	movabsq	$cpu_tss-8, %rsp
	pushq	%rax
	pushq	%r11
	pushq	%rcx
	pushq	%r14
	movabsq	$percpu_area, %r14
	movq	xen_cr3(%r14), %rcx
	testq	%rcx, %rcx
	jz	syscall_work
#ifdef CR3_FIRST
	movq	%rcx, %cr3
syscall_cr3_loaded:
	movb	$0, use_pv_cr3(%r14)
#else
	movb	$0, use_pv_cr3(%r14)
syscall_cr3_next:
	movq	%rcx, %cr3
#endif
	movq	$0, xen_cr3(%r14)
syscall_work:
	call	note_event
syscall_exit:
	movq	%cr3, %rcx
	movq	pv_cr3(%r14), %rax
#if defined(CR3_FIRST)
	movq	%rcx, xen_cr3(%r14)
	movq	%rax, %cr3
exit_cr3_loaded:
	movb	$1, use_pv_cr3(%r14)
#elif defined(XEN_CR3_LAST)
	movb	$1, use_pv_cr3(%r14)
	movq	%rax, %cr3
exit_cr3_loaded:
	movq	%rcx, xen_cr3(%r14)
#else
	movq	%rcx, xen_cr3(%r14)
	movb	$1, use_pv_cr3(%r14)
exit_cr3_next:
	movq	%rax, %cr3
#endif
	popq	%r14
	popq	%rcx
	popq	%r11
	movq	8(%rsp), %rax
	movq	(%rsp), %rsp
	sysretq

	.text
note_event:
	incq	events_noted(%rip)
	ret

	.data
	.balign	8
events_noted:
	.quad	0

	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8
xen_cr3:
	.quad	kernel_cr3
pv_cr3:
	.quad	kernel_cr3 + CR3_USER
use_pv_cr3:
	.quad	1
