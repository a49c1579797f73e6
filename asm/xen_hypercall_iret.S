/*
 * The hypercall by which a PV guest's kernel returns, which ring 3 cannot do by IRETQ with all flags: Xen takes RIP, CS, RFLAGS,
 * RSP and SS from the guest's stack, and returns there itself.
 *
 * It returns with CPL 0, so IRETQ loads IF and IOPL as they are: a guest that runs with interrupts off, or with access to ports,
 * has what only the hypervisor may have (CVE-2016-10024, XSA-202, 0e47f92b07). NT is the guest's own (5bcac98549).
 *
 *	RDI	cpu_user_regs; with xen_syscall.S, whose pv_hypercall this is
 *
 * Guest's stack, from its RSP: RIP, CS, RFLAGS, RSP, SS.
 *
 * Variants:
 *	FLAGS_UNCHECKED		RFLAGS as they are
 */
#include "include/xen.h"

#define RFLAGS_IF		0x200
#define RFLAGS_IOPL		0x3000
#define RFLAGS_VM		0x20000
#define TRAP_none		0

	.text

	.globl	pv_hypercall
pv_hypercall:
	movq	UREGS_rsp(%rdi), %rsi
	movq	(%rsi), %rax
	movq	%rax, UREGS_rip(%rdi)
	movq	$FLAT_RING3_CS64, UREGS_cs(%rdi)
	movq	16(%rsi), %rax
#ifndef FLAGS_UNCHECKED
	andl	$~(RFLAGS_IOPL | RFLAGS_VM), %eax
	orl	$RFLAGS_IF, %eax
#endif
	movq	%rax, UREGS_eflags(%rdi)
	movq	24(%rsi), %rax
	movq	%rax, UREGS_rsp(%rdi)
	movq	$FLAT_RING3_SS64, UREGS_ss(%rdi)
	/* Not by SYSRET. */
	movl	$TRAP_none, UREGS_entry_vector(%rdi)
	ret
