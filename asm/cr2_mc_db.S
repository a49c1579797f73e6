/*
 * Handlers of #MC and #DB whose C parts fault: the same harm to CR2 as an NMI's (L-6).
 *
 * Sources: 7fbb98c5cb07 (3.5) for NMIs; FreeBSD D27772, which keeps CR2 in the handlers of NMI, #MC and #DB.
 *
 * Both have IST stacks and come anywhere, so also between a page fault and the read of CR2 by its handler (page_fault.S). The body of
 * body_page_fault.S faults once in each run. The kernel is interrupted only: GS is left alone.
 *
 * IST stack, from the top down: SS RSP RFLAGS CS RIP, orig_rax = -1, rdi ... r15.
 *
 * Variants:
 *	KEEP_CR2	the handlers put CR2 back
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.macro	BODY
	pushq	$-1
	PUSH_REGS
	cld
#ifdef KEEP_CR2
	movq	%cr2, %r12
#endif
	movq	%rsp, %rdi
	call	do_nmi			/* a body, whatever it is called */
#ifdef KEEP_CR2
	movq	%r12, %cr2
#endif
	.endm

	.text

	.globl	machine_check
machine_check:
	BODY
	/* The last thing: from here on another machine check does not shut the processor down. */
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	debug
debug:
	BODY
	POP_REGS
	addq	$8, %rsp
	iretq
