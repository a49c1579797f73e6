/*
 * NMI entry that tolerates nesting, as Linus Torvalds proposed it on 2010-07-14 (https://lkml.org/lkml/2010/7/14/264), quoted in
 * the mail of 2011-12-08 (seed 001_79c54b563f90cb37), whose author tried it first and could not make it stable.
 *
 * nmi_frame, per CPU, is 0 or points to the frame that the NMI handler which runs on this CPU will return by. An NMI that finds it
 * set is nested: it makes that frame invalid and leaves, not by an IRET, which would unblock NMIs, but by POPF and RET on the stack
 * that it interrupted. The first NMI clears nmi_frame and executes its IRET. If the frame has been made invalid the IRET faults,
 * and the fault's handler does the nested NMI's work; else the IRET ends the blocking of NMIs. So the IRET asks and leaves in one step.
 *
 * Left open by the mail, and decided here:
 *	- invalid means CS = 0, on which IRET raises #GP(0). The selector is kept in bits 31:16 of the same word, which IRET does not
 *	  look at; so an invalid frame can be told from one that is invalid by itself, and be repaired;
 *	- bits 63:32 of that word: 1 if GS had the kernel's base when the NMI came, 0 if it was exchanged;
 *	- the fault's handler drops the fault's frame and enters the NMI handler again behind the point where frames are made;
 *	- whether GS has the kernel's base is asked of the base itself, as the other handlers here do.
 *
 * Without any macro this is the proposal as it stands, on the NMI stack of x86-64. Macros, for what it takes to make it hold:
 *
 *	FRAME_COPY	the first NMI moves its frame and registers below what the next delivery writes
 *	REGS_COPY	(with FRAME_COPY) pt_regs has a copy of the frame for itself
 *	EXIT_RANGE	(with FRAME_COPY) nmi_frame = 0 says "not nested" only outside of the last instructions of the exit and of the
 *			fault's handler; the interrupted RIP tells
 *	NMI_WITHOUT_IST	the gate has no IST: the frame goes to the interrupted stack, as it does on i386
 *	FAULT_BY_IRET	the fault's handler goes to that point by an IRET, as handlers that look up a table of fixups do
 *	NESTED_BY_IRET	the nested NMI leaves by an IRET, as it does in the handlers that Linux came to have
 *	GS_NOT_ASKED	nmi_frame is loaded at once, with the GS base as it is
 *
 * Stack, T = IST top - 48 (NMI_WITHOUT_IST: the interrupted RSP, rounded down to 16, instead of the IST top):
 *
 *	T+40  SS	\
 *	T+32  RSP	 |
 *	T+24  RFLAGS	 | hardware frame. As it stands it is also the tail of pt_regs and what IRET returns by, and
 *	T+16  CS	 | nmi_frame = T+8
 *	T+8   RIP	/
 *	T     orig_rax = -1
 *	T-8   rdi, T-16 rsi, T-24 rdx, T-32 rcx, T-40 rax ... T-120 r15
 *
 * With FRAME_COPY:
 *
 *	T     rdx	\
 *	T-8   rcx	 | each later NMI writes them anew, as it does the hardware frame
 *	T-16  rax	/
 *	T-24  SS	\
 *	T-32  RSP	 |
 *	T-40  RFLAGS	 | IRET returns by it, a nested NMI makes it invalid; nmi_frame = T-56
 *	T-48  CS	 |
 *	T-56  RIP	/
 *	T-64 ... T-96	  REGS_COPY: SS ... RIP once more
 *	orig_rax = -1, rdi ... r15 below
 *
 * What fails is told in docs/linus-proposal.md.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

/* In the CS word of the frame: where the selector is kept, and whether GS was left alone. */
#define KEPT_CS		2
#define GS_KEPT		4

/* From RSP, when rdx, rcx and rax have been saved, up to the hardware frame. */
#ifdef FRAME_COPY
#define FRAME		24
#else
#define FRAME		48
#endif

/* From pt_regs up to the frame that IRET returns by. */
#ifdef REGS_COPY
#define IRET_FRAME	(PT_RIP + 40)
#else
#define IRET_FRAME	PT_RIP
#endif

#ifdef NMI_WITHOUT_IST
	.globl	ist_2
	ist_2 = 0
#endif

	.macro	PUSH_REST
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.text

	.globl	nmi
nmi:
#ifndef FRAME_COPY
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
#endif
	pushq	%rdx
	pushq	%rcx
	pushq	%rax

	/* ECX: 1 for "leave GS alone", 0 for "exchanged". */
#ifdef GS_NOT_ASKED
	movl	$1, %ecx
#else
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	movl	$1, %ecx
	testl	%edx, %edx
	js	.Lkernel_gs
	swapgs
	xorl	%ecx, %ecx
.Lkernel_gs:
#endif

	movq	%gs:nmi_frame, %rdx
	testq	%rdx, %rdx
	jnz	nmi_nested

#ifdef EXIT_RANGE
	/*
	 * nmi_frame is 0, yet a frame that will be returned by may lie where the copy below would go. Ring 3 can have any RIP, even one
	 * that it will never execute anything at: after a JMP to it, an NMI comes before the fault. So it is asked for the CPL first.
	 */
	testb	$3, FRAME+8(%rsp)
	jnz	nmi_first
	/* Between the clearing and the IRET: RSP points to that frame. */
	leaq	nmi_cleared(%rip), %rax
	cmpq	%rax, FRAME(%rsp)
	jb	nmi_first
	leaq	nmi_iret_done(%rip), %rax
	cmpq	%rax, FRAME(%rsp)
	jb	.Lleaving
	/*
	 * In the fault's handler, after the IRET of an NMI has faulted: a body is about to start, and this NMI is served by it. Not so
	 * in the same handler after any other fault; that one does not begin on the NMI stack while nmi_frame is 0.
	 */
	leaq	general_protection(%rip), %rax
	cmpq	%rax, FRAME(%rsp)
	jb	nmi_first
	leaq	nmi_again_set(%rip), %rax
	cmpq	%rax, FRAME(%rsp)
	jae	nmi_first
	movq	FRAME+24(%rsp), %rax
	xorq	%rsp, %rax
	testq	$-EXCEPTION_STKSZ, %rax
	jz	nmi_nested_out
	jmp	nmi_first
.Lleaving:
	movq	FRAME+24(%rsp), %rdx
	jmp	nmi_nested
#endif

nmi_first:
#ifdef FRAME_COPY
	/* RSP moves down with each word, so the source is at the same distance. */
	pushq	FRAME+32(%rsp)
	pushq	FRAME+32(%rsp)
	pushq	FRAME+32(%rsp)
	pushq	FRAME+32(%rsp)
	pushq	FRAME+32(%rsp)
	movq	8(%rsp), %rax
	movw	%ax, 8+KEPT_CS(%rsp)
	movl	%ecx, 8+GS_KEPT(%rsp)
#ifdef REGS_COPY
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
#endif
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	IRET_FRAME-PT_RSI+FRAME+32(%rsp)	/* rdx */
	pushq	IRET_FRAME-PT_RSI+FRAME+32(%rsp)	/* rcx */
	pushq	IRET_FRAME-PT_RSI+FRAME+32(%rsp)	/* rax */
#else
	movq	FRAME+8(%rsp), %rax
	movw	%ax, FRAME+8+KEPT_CS(%rsp)
	movl	%ecx, FRAME+8+GS_KEPT(%rsp)
#endif
	/* From here on the next NMI is nested, and nothing that it writes is needed any more (with FRAME_COPY, that is). */
	leaq	IRET_FRAME-PT_RAX(%rsp), %rax
	movq	%rax, %gs:nmi_frame
nmi_frame_set:
	PUSH_REST

nmi_body:
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

nmi_restore:
	POP_REGS
	addq	$IRET_FRAME-PT_ORIG_RAX, %rsp

	/* nmi_frame can be reached with the kernel's GS base only, so the base goes back after it. */
	cmpl	$0, 8+GS_KEPT(%rsp)
	jne	.Lclear
	movq	$0, %gs:nmi_frame
nmi_cleared:
	swapgs
	jmp	nmi_iret
.Lclear:
	movq	$0, %gs:nmi_frame
nmi_iret:
	iretq
nmi_iret_done:

	/* RDX: the frame that the first NMI will return by. */
nmi_nested:
	movw	$0, 8(%rdx)

nmi_nested_out:
#ifdef EXIT_RANGE
	/* The code that was interrupted may have exchanged GS back already. */
	testl	%ecx, %ecx
	jnz	.Lgs_as_it_was
	swapgs
.Lgs_as_it_was:
#endif
#ifdef NESTED_BY_IRET
	popq	%rax
	popq	%rcx
	popq	%rdx
	addq	$FRAME-24, %rsp
	iretq
#else
	/*
	 * RET pops RIP from the stack that it goes back to, POPF the flags: both are written below the interrupted RSP, with the three
	 * registers. Without an IST those places are within the frame that is read here, so the three words of it come first.
	 */
	movq	FRAME+24(%rsp), %rdx
	movq	FRAME(%rsp), %rax
	movq	FRAME+16(%rsp), %rcx
	movq	%rax, -8(%rdx)
	movq	%rcx, -16(%rdx)
	movq	16(%rsp), %rax
	movq	%rax, -24(%rdx)
	movq	8(%rsp), %rax
	movq	%rax, -32(%rdx)
	movq	(%rsp), %rax
	movq	%rax, -40(%rdx)
	leaq	-40(%rdx), %rsp
nmi_nested_return:
	popq	%rax
	popq	%rcx
	popq	%rdx
	popfq
	ret
#endif

/*
 * #GP. Stack: error code, RIP, CS, RFLAGS, RSP, SS of what has faulted. No IST: in ring 0 it stays on the stack in use, which for the
 * IRET of an NMI is the NMI stack, below the frame.
 */
	.globl	general_protection
general_protection:
	pushq	%rdx
	leaq	nmi_iret(%rip), %rdx
	cmpq	%rdx, 16(%rsp)
	jne	.Lno_nmi
	testb	$3, 24(%rsp)
	jnz	.Lno_nmi
	movq	40(%rsp), %rdx
	cmpw	$0, 8(%rdx)
	jne	.Lno_nmi

	/* Repair the frame, drop the fault's own. All registers are the interrupted context's, and so is the GS base. */
	pushq	%rax
	movw	8+KEPT_CS(%rdx), %ax
	movw	%ax, 8(%rdx)
#ifdef FAULT_BY_IRET
	leaq	nmi_again(%rip), %rax
	movq	%rax, 24(%rsp)
	popq	%rax
	popq	%rdx
	addq	$8, %rsp
	iretq
#else
	popq	%rax
	popq	%rdx
	movq	32(%rsp), %rsp
#endif
nmi_again:
	cmpl	$0, 8+GS_KEPT(%rsp)
	jne	.Lgs_kept
	swapgs
.Lgs_kept:
	movq	%rsp, %gs:nmi_frame
nmi_again_set:
#ifdef REGS_COPY
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
#endif
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	PUSH_REST
	jmp	nmi_body

.Lno_nmi:
	popq	%rdx
	addq	$8, %rsp
	iretq

	.section .data..percpu,"aw",@progbits
	.balign	8
nmi_frame:
	.quad	0
