/*
 * #DB entry, with its C part do_debug: breakpoints, watchpoints and the single step.
 *
 * A #DB need not come where the code has raised it. MOV SS puts it off to the end of the next instruction; if that one
 * is a door to ring 0 (SYSCALL, SYSENTER, INT n, INT3), the #DB comes at the first instruction behind the door: CS is
 * the kernel's, GS still the user's, and after SYSCALL so is RSP (CVE-2018-8897, XSA-260). So the handler has a stack
 * of its own (IST), and asks the GS base itself. The same with RFLAGS.TF and SYSENTER, which does not clear it
 * (f2b375756c83).
 *
 * While it works all breakpoints are off (DR7), so that it cannot be interrupted by itself; until then it touches
 * nothing but its own stack, which nobody may watch (watchpoints.S).
 *
 * #DB stack, from its top: SS, RSP, RFLAGS, CS, RIP, orig_rax = -1, rdi … r15.
 *
 * Variants:
 *	GS_BY_CS		believes the interrupted CS: C runs with the GS base of the user (FreeBSD before
 *				SA-18:06 as well)
 *	WITHOUT_IST		the frame goes to whatever RSP there is
 *	BUG_ON_DR6_BD		takes DR6.BD, which a guest may set and nobody clears, for a proof of a bug
 *				(CVE-2018-12893, XSA-265)
 *	KEEPS_TF		goes back to the kernel with TF set: each instruction of the entry is stepped
 *	WITHOUT_RF		goes back to an instruction with a breakpoint on it as if nothing had happened (XSA-260)
 *	READS_PERCPU_FIRST	reads a per-CPU variable before DR7 is off, as a paranoid entry that looks its GS base
 *				up (c4bed4b96918) or a handler that keeps DR7 in memory (3943abf2dbfa) does: a
 *				watchpoint on it recurs for ever
 */
#include "include/entry.S"

#define DR6_RESET		0xffff0ff0
#define DR6_BD			0x2000
#define DR7_OFF			0x400

#ifdef WITHOUT_IST
	.globl	ist_1
	.set	ist_1, 0
#endif

	.text

	.globl	debug
debug:
	pushq	$-1
	PUSH_REGS
	clear_user_flags

#ifdef GS_BY_CS
	/* "CS is the kernel's, so GS is." */
	movl	$1, %ebx
	testb	$3, PT_CS(%rsp)
	jz	1f
	swapgs
	xorl	%ebx, %ebx
1:
#else
	paranoid_gs
#endif

#ifdef READS_PERCPU_FIRST
	movq	%gs:entry_word, %rcx
#endif
	movq	%dr7, %r12
	movl	$DR7_OFF, %eax
	movq	%rax, %dr7
debug_undisturbed:
	/* DR6 collects; what has been read must not be found again next time. */
	movq	%dr6, %rsi
	movl	$DR6_RESET, %eax
	movq	%rax, %dr6

#ifdef BUG_ON_DR6_BD
	testl	$DR6_BD, %esi
	jz	1f
debug_bug:
	hlt
	jmp	debug_bug
1:
#endif

#ifndef KEEPS_TF
	/* TF in ring 0 is the user's, come in by SYSENTER: the exit to user mode gives it back. */
	testb	$3, PT_CS(%rsp)
	jnz	1f
	testl	$RFLAGS_TF, PT_RFLAGS(%rsp)
	jz	1f
	andl	$~RFLAGS_TF, PT_RFLAGS(%rsp)
	movl	$RFLAGS_TF, %gs:single_step
1:
#endif
	movq	%rsp, %rdi
	call	do_debug

#ifndef WITHOUT_RF
	/* For a breakpoint on an instruction, which is a fault: it is executed now. */
	orl	$RFLAGS_RF, PT_RFLAGS(%rsp)
#endif
	movq	%r12, %dr7
debug_exit:
	paranoid_gs_back
	POP_REGS
	addq	$8, %rsp
debug_iret:
	iretq

	.section .data..percpu,"aw",@progbits
	.balign	8
	/* RFLAGS.TF that has been taken away from the kernel's entry, for user_entries.S. */
	.globl	single_step
single_step:
	.long	0
	.long	0
	.globl	entry_word
entry_word:
	.quad	0
