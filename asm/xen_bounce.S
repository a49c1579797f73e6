/*
 * Bounce frames: Xen hands an exception to the kernel of a PV guest, which is ring 3 like its programs. It pushes a
 * frame to the guest's stack and lets the guest go on at its handler.
 *
 * A guest that enters with NT set is given #GP. What is to be bounced lies in a word of flags, trap_bounce_flags, which
 * the way out looks at as well, for exceptions that come up elsewhere. Whoever pushes the frame has to clear it: the
 * entry did not, and the way out pushed a second frame on top (CVE-2020-25596, XSA-339, 910093d54f). Its RIP is the
 * guest's #GP handler, which now seems to have faulted itself.
 *
 *	RDI	cpu_user_regs; with xen_syscall.S, whose pv_hypercall this is
 *
 * Needed from outside: guest_gp, the handler that the guest has registered.
 *
 * Guest's stack, from its RSP: RCX, R11, error code, RIP, CS, RFLAGS, RSP, SS.
 *
 * Variants:
 *	FLAGS_KEPT	the frame is pushed and the word is left to others
 */
#include "include/xen.h"

#define RFLAGS_NT		0x4000
/* What delivery clears: TF, NT, RF. */
#define RFLAGS_CLEARED		0x14100
#define TBF_EXCEPTION		1
#define UREGS_r11		48
#define UREGS_rcx		88

	.text

	.globl	pv_hypercall
pv_hypercall:
	testl	$RFLAGS_NT, UREGS_eflags(%rdi)
	jz	test_bounce
	movl	$TBF_EXCEPTION, trap_bounce_flags(%rip)
	call	create_bounce_frame

	/* The way out. */
test_bounce:
	testl	$TBF_EXCEPTION, trap_bounce_flags(%rip)
	jz	no_bounce
	call	create_bounce_frame
	movl	$0, trap_bounce_flags(%rip)
no_bounce:
	ret

create_bounce_frame:
	movq	UREGS_rsp(%rdi), %rsi
	.irp	field, UREGS_ss, UREGS_rsp, UREGS_eflags, UREGS_cs, UREGS_rip
	subq	$8, %rsi
	movq	\field(%rdi), %rax
	movq	%rax, (%rsi)
	.endr
	subq	$24, %rsi
	movq	$0, 16(%rsi)
	movq	UREGS_r11(%rdi), %rax
	movq	%rax, 8(%rsi)
	movq	UREGS_rcx(%rdi), %rax
	movq	%rax, (%rsi)
	movq	%rsi, UREGS_rsp(%rdi)
	andl	$~RFLAGS_CLEARED, UREGS_eflags(%rdi)
	movabsq	$guest_gp, %rax
	movq	%rax, UREGS_rip(%rdi)
	/* Not by SYSRET: RCX and R11 are the guest's. */
	movl	$0, UREGS_entry_vector(%rdi)
#ifndef FLAGS_KEPT
	movl	$0, trap_bounce_flags(%rip)
#endif
	ret

	.data
	.balign	8
trap_bounce_flags:
	.quad	0
