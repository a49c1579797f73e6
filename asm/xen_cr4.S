/*
 * CR4 and its copy in memory: the exit of Xen to a 32-bit PV guest, which takes SMEP and SMAP away, and the switch of
 * CR4.FSGSBASE between two guests, each against an NMI that goes by the copy.
 *
 * Sources: 9e28baf22e (2016), the exit compares the copy with what it has loaded; XSA-293 (eccc170053) and a711f6f24a (2019),
 * the copy says at every moment only what CR4 bears out.
 *
 * The NMI handler, when it finds SMEP and SMAP missing in the copy, turns both on, in CR4 and in the copy, and leaves them on: the
 * hypervisor's code is meant to run with them. Its C part reads the GS base of the guest: by RDGSBASE if the copy says that
 * CR4.FSGSBASE is set, otherwise by RDMSR.
 *
 * Macros:
 *	COMPARE_AFTER_LOAD	the exit looks at the copy once more after it has loaded CR4, and begins again if it has changed
 *	CR4_FIRST		the bit is cleared in CR4 before it is cleared in the copy, and set in the copy before it is set in CR4
 *
 * Entry points for a context: exit_to_compat_guest, which ends in exit_done, with AL = 1 if CR4 and its copy differ there;
 * fsgsbase_off and fsgsbase_on, ordinary functions. They change RAX and RCX.
 *
 * NMI stack: hardware frame, orig_rax, pt_regs. One NMI at a time.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#define CR4_FSGSBASE	(1 << 16)
#define CR4_SMEP_SMAP	(3 << 20)

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	testl	$CR4_SMEP_SMAP, %gs:cr4_copy
	jnz	.Lcr4_restored
	movq	%gs:cr4_copy, %rax
	orq	$CR4_SMEP_SMAP, %rax
	movq	%rax, %gs:cr4_copy
	movq	%rax, %cr4
.Lcr4_restored:
	movq	%rsp, %rdi
	call	do_nmi
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	testl	$CR4_FSGSBASE, %gs:cr4_copy
	jz	.Lread_msr
	rdgsbase %rax
	ret
.Lread_msr:
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

	.globl	exit_to_compat_guest
	.globl	exit_done
exit_to_compat_guest:
	movq	%cr4, %rax
.Lload_cr4:
	andq	$~CR4_SMEP_SMAP, %rax
	movq	%rax, %gs:cr4_copy
exit_load:
	movq	%rax, %cr4
#ifdef COMPARE_AFTER_LOAD
	/*
	 * An NMI between the two stores has turned the bits on in both, and the load has taken them out of CR4 again. One that comes
	 * after the load leaves both equal, and the guest with bits that it does not mind for long: it too is made up for.
	 */
	cmpq	%rax, %gs:cr4_copy
	movq	%gs:cr4_copy, %rax
	jne	.Lload_cr4
#endif
exit_done:
	movq	%cr4, %rax
	cmpq	%gs:cr4_copy, %rax
	setne	%al
	movzbl	%al, %eax
	ret

	.globl	fsgsbase_off
fsgsbase_off:
	movq	%cr4, %rax
	andq	$~CR4_FSGSBASE, %rax
#ifdef CR4_FIRST
	movq	%rax, %cr4
fsgsbase_off_middle:
	movq	%rax, %gs:cr4_copy
#else
	movq	%rax, %gs:cr4_copy
fsgsbase_off_middle:
	movq	%rax, %cr4
#endif
	ret

	.globl	fsgsbase_on
fsgsbase_on:
	movq	%cr4, %rax
	orq	$CR4_FSGSBASE, %rax
#ifdef CR4_FIRST
	movq	%rax, %gs:cr4_copy
fsgsbase_on_middle:
	movq	%rax, %cr4
#else
	movq	%rax, %cr4
fsgsbase_on_middle:
	movq	%rax, %gs:cr4_copy
#endif
	ret
fsgsbase_on_end:
	int3				/* not reached: gives the label an address of its own */

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	cr4_copy
cr4_copy:
	.quad	0
