/*
 * An NMI entry without protection against nesting, whose body writes a variable that somebody may watch.
 *
 * It must not raise anything: each IRET in between unblocks NMIs, and the next one begins at the top of this very
 * stack. A watchpoint, or a breakpoint on an instruction, is set by others, so the handler turns them off
 * (fd501d4f0399, nmi_dr7) before it touches anything but its own stack, and on again when it touches nothing else any
 * more.
 *
 * NMI stack, from its top: SS, RSP, RFLAGS, CS, RIP, orig_rax = -1, rdi … r15.
 *
 * Variants:
 *	KEEPS_DR7	does not turn them off
 */
#include "include/entry.S"

#define DR7_OFF			0x400

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	paranoid_gs
#ifndef KEEPS_DR7
	movq	%dr7, %r12
	movl	$DR7_OFF, %eax
	movq	%rax, %dr7
#endif
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
#ifndef KEEPS_DR7
	movq	%r12, %dr7
#endif
nmi_exit:
	paranoid_gs_back
	POP_REGS
	addq	$8, %rsp
nmi_iret:
	iretq

	.globl	do_nmi, do_nmi_end
do_nmi:
	movl	$1, %eax
	addq	%rax, nmi_count(%rip)
	movl	$2, %eax
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

	.data
	.balign	8
	.globl	nmi_count
nmi_count:
	.quad	0
