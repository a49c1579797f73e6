/*
 * NMI entry of Linux 3.7 to 4.1: as that of 3.3 (linux_nmi_3_3.S), with the two copies of the frame exchanged.
 *
 * Sources: the mail of 2011-12-08 (seed 001_79c54b563f90cb37); 28696f434fef, pt_regs on the copy that does not change, 3.7;
 * 7fbb98c5cb07, CR2; 3891a04aafd6, espfix64, 3.16.
 *
 * NMI stack, T = IST top - 48 (where the first instruction pushes rdx):
 *
 *	T+40  SS	\
 *	T+32  RSP	 |
 *	T+24  RFLAGS	 | hardware frame; each later NMI writes it anew
 *	T+16  CS	 |
 *	T+8   RIP	/
 *	T     rdx	  each later NMI writes it anew
 *	T-8   executing	  1 from first_nmi until just before the last IRETQ, else 0
 *	T-16  SS	\
 *	T-24  RSP	 |
 *	T-32  RFLAGS	 | iret: IRETQ returns by it, a nested NMI redirects it
 *	T-40  CS	 |
 *	T-48  RIP	/
 *	T-56  SS	\
 *	T-64  RSP	 |
 *	T-72  RFLAGS	 | outermost: the interrupted context, never changed; the tail of pt_regs
 *	T-80  CS	 |
 *	T-88  RIP	/
 *	T-96  orig_rax = -1
 *	T-104 rdi ... T-216 r15		pt_regs begins at T-216
 *
 * Needed from outside: a zeroed NMI stack (T-8 is read before it is first written). The C part has no state word of its own yet.
 *
 * What fails:
 *	- L-12 (CVE-2015-3291): an NMI in the SYSCALL gap takes itself for a nested one if the user's RSP points into the NMI stack;
 *	- L-10 (CVE-2015-5157): an NMI from user mode returns by an IRETQ on the NMI stack. If it faults (asm/bad_iret.S has the
 *	  fault's handler), NMIs are unblocked and the handler of the fault runs there: NMIs take themselves for nested;
 *	- L-11 (CVE-2015-3290), ESPFIX64: the frame is copied once more, word by word, with the executing word clear. An NMI in between
 *	  redirects a frame of which a part has been copied;
 *	- L-22: whatever unblocks NMIs before the frame has been saved.
 *
 * Variants:
 *	ESPFIX64	3.16 to 4.1: the return goes through native_iret
 *	PARAVIRT_HOOK	a kernel with PARAVIRT: what comes first is a call, whose stack words are rdx's and the executing word (L-14)
 *	DF_TEST		with the DF test of 4.2, in the order of tests of 3.7 (L-15)
 *	RANGE_FIRST	the test of RIP against repeat_nmi comes before the others, as in 4.2
 *	NO_RANGE_TEST	there is none
 */
#include "include/linux.h"
#include "include/pt_regs.S"
#ifdef ESPFIX64
#include "include/native_iret.S"
#endif

	.text

#ifdef PARAVIRT_HOOK
/*
 * PARAVIRT_ADJUST_EXCEPTION_FRAME, a C function that only does something under Xen. It is a call all the same: its return address goes
 * to T, and rbp, which C functions save with frame pointers, to T-8.
 */
paravirt_adjust_exception_frame:
	pushq	%rbp
	movq	%rsp, %rbp
	popq	%rbp
	ret
#endif

	.globl	nmi
	.globl	irq_return
nmi:
#ifdef PARAVIRT_HOOK
	call	paravirt_adjust_exception_frame
#endif
	/* rdx is the only register saved here, hence the only one the code up to first_nmi may use. */
	pushq	%rdx

	/* User mode puts into RSP what it likes. It is never nested: the first NMI does not return there before its work is done. */
	cmpl	$__KERNEL_CS, 16(%rsp)
	jne	first_nmi

#ifdef RANGE_FIRST
	leaq	repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Ltest_executing
	leaq	end_repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	nested_nmi_out
.Ltest_executing:
#endif

	/* Busy already? The word is read before the very first NMI has written it: the stack must start zeroed. */
	cmpl	$1, -8(%rsp)
	je	nested_nmi

	/*
	 * The mark is cleared one instruction before the IRETQ. What is interrupted in between has its RSP
	 * in the NMI stack, and counts as busy too: IST top - 4096 <= RSP <= IST top.
	 */
	leaq	48(%rsp), %rdx
	cmpq	%rdx, 32(%rsp)
	ja	first_nmi
	subq	$EXCEPTION_STKSZ, %rdx
	cmpq	%rdx, 32(%rsp)
	jb	first_nmi

#ifdef DF_TEST
	/* After SYSCALL RSP is the user's, but DF is clear; the exit below sets it. */
	testl	$RFLAGS_DF, 24(%rsp)
	jz	first_nmi
#endif

nested_nmi:
#if !defined(RANGE_FIRST) && !defined(NO_RANGE_TEST)
	/* Was the first NMI just going round again? Its body is still to start, nothing need be asked for. */
	leaq	repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Lredirect
	leaq	end_repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	nested_nmi_out
.Lredirect:
#endif

	/*
	 * Step over the mark and push a new iret frame, T-16 to T-48. Its RSP is the one with which repeat_nmi starts, T-88; its
	 * flags are those of now, with IF clear.
	 */
	subq	$8, %rsp
	leaq	-80(%rsp), %rdx
	pushq	$__KERNEL_DS
	pushq	%rdx
	pushfq
	pushq	$__KERNEL_CS
	leaq	repeat_nmi(%rip), %rdx
	pushq	%rdx

	/* From T-48 back to T. */
	addq	$48, %rsp

nested_nmi_out:
	popq	%rdx
	iretq

first_nmi:
	/* The word at T is left in place; the next NMI will need the room for its own rdx. */
	movq	(%rsp), %rdx

	/* T-8: busy from here on. */
	pushq	$1

	/* T-16 ... T-48: room for the iret frame. */
	subq	$40, %rsp

	/* T-56 ... T-88, outermost: RSP moves down with each word, so the source is at the same distance. */
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)

	/*
	 * Both the first round, from above, and each further one, through a redirected IRETQ: RSP = T-88 and all registers but RSP
	 * and the flags are the context's.
	 */
repeat_nmi:
	movq	$1, 80(%rsp)

	/* Renew the iret frame from the outermost one, five words lower. */
	addq	$80, %rsp
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	subq	$40, %rsp
end_repeat_nmi:
	pushq	$-1
	PUSH_REGS
	cld

	/* GS by its base and not by the saved CS, which also says "kernel" in the gaps around SYSCALL and IRET. */
	movl	$1, %ebx		/* 1: GS stays as it is at the exit */
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	.Lbody
	swapgs
	xorl	%ebx, %ebx

.Lbody:
	/* The body may fault, and the interrupted code may be a page fault handler that has not read CR2 yet. C keeps r12. */
	movq	%cr2, %r12
	movq	%rsp, %rdi
	movq	$-1, %rsi
	call	do_nmi

	/* Written only if it has changed: the write is expensive under a hypervisor. */
	movq	%cr2, %rcx
	cmpq	%rcx, %r12
	je	.Lcr2_kept
	movq	%r12, %cr2
.Lcr2_kept:
	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs

nmi_restore:
	POP_REGS
	addq	$48, %rsp		/* orig_rax and the outermost frame: T-48 */

#ifdef DF_TEST
	std
#endif
	/* Free again. Until the IRETQ is done only RSP (and DF) can tell. */
	movq	$0, 40(%rsp)
irq_return:
#ifdef ESPFIX64
	jmp	native_iret
#else
	iretq
#endif
