/*
 * One scratch mask for each CPU, for code that must not put it on the stack, and events that need one as well.
 *
 * Sources: d079cc0587 (Xen, 2020), the scratch mask may be in use where an NMI or #MC comes; 88f8b8daa9, being in such a
 * handler is a count and no flag, for #MC comes inside an NMI.
 *
 * Whoever wants a mask asks pick_mask: outside of NMI and #MC there is one, inside another. send_to_others is the code that
 * they interrupt.
 *
 * Macros:
 *	ONE_MASK	everybody gets the same
 *	NMI_FLAG	being in a handler is a flag: the inner handler's exit clears it
 *
 * Stacks: pt_regs on the IST stacks. One NMI at a time; the handlers run with the kernel's GS, they are not for ring 3.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.macro	ENTER_NMI
	pushq	$-1
	PUSH_REGS
	cld
#ifdef NMI_FLAG
	movl	$1, %gs:nmi_depth
#else
	incl	%gs:nmi_depth
#endif
	movq	%rsp, %rdi
	xorl	%esi, %esi
	.endm

	.macro	LEAVE_NMI
#ifdef NMI_FLAG
	movl	$0, %gs:nmi_depth
#else
	decl	%gs:nmi_depth
#endif
	POP_REGS
	addq	$8, %rsp
	iretq
	.endm

	.text

	.globl	nmi
nmi:
	ENTER_NMI
	call	do_nmi
nmi_leave:
	LEAVE_NMI

	.globl	machine_check
machine_check:
	ENTER_NMI
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	LEAVE_NMI

/* The C part: sends to some CPUs of its own choice. */
	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	call	pick_mask
	movq	$0x0f0f, %gs:(%rax)
	orq	$0x8000, %gs:(%rax)
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

/* Offset of a mask in the per-CPU area. */
pick_mask:
	leaq	scratch_mask, %rax
#ifndef ONE_MASK
	cmpl	$0, %gs:nmi_depth
	je	.Lpicked
	leaq	nmi_scratch_mask, %rax
.Lpicked:
#endif
	ret

/* RDI: CPUs; returns those without CPU 0 in RAX. Changes RCX. */
	.globl	send_to_others
send_to_others:
	call	pick_mask
	movq	%rax, %rcx
	movq	%rdi, %gs:(%rcx)
mask_in_use:
	andq	$~1, %gs:(%rcx)
	movq	%gs:(%rcx), %rax
mask_free:
	ret

	.section .data..percpu,"aw",@progbits
	.balign	8
scratch_mask:
	.quad	0
nmi_scratch_mask:
	.quad	0
nmi_depth:
	.long	0
