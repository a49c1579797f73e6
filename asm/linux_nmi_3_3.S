/*
 * NMI entry of Linux 3.3 to 3.6: the first merged form of the design in which NMIs nest.
 *
 * Sources: the mail of 2011-12-08 (seed 001_79c54b563f90cb37); 3f3c8b8c4b2a, the form in which it was merged for 3.3; 45d5a1683c04,
 * the test of CS before the others; 7fbb98c5cb07, CR2 kept by the handler, 3.5. What differs from the RFC (linux_nmi_rfc.S):
 *
 *	- what comes from user mode is a first NMI, whatever its RSP says;
 *	- the nested path uses rdx only, which is saved.
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
 *	T-32  RFLAGS	 | saved: the interrupted context, never changed
 *	T-40  CS	 |
 *	T-48  RIP	/
 *	T-56  SS	\
 *	T-64  RSP	 |
 *	T-72  RFLAGS	 | copied: IRETQ returns by it, a nested NMI redirects it; also the tail of pt_regs
 *	T-80  CS	 |
 *	T-88  RIP	/
 *	T-96  orig_rax = -1
 *	T-104 rdi ... T-216 r15		pt_regs begins at T-216
 *
 * Needed from outside: a zeroed NMI stack (T-8 is read before it is first written). The C part, do_nmi, has no state word of its
 * own yet: what keeps the body from being entered twice is the executing word, for user NMIs too.
 *
 * What fails:
 *	- L-5: the frame that nested NMIs change is part of pt_regs, and the body sees it change;
 *	- L-12 (CVE-2015-3291): in the SYSCALL gap CS is the kernel's and RSP the user's; a first NMI that finds it in the NMI
 *	  stack takes itself for a nested one, and is lost;
 *	- L-6, up to 3.4: CR2 is not kept for a page fault handler that was interrupted before it read it;
 *	- L-22: whatever unblocks NMIs before the frame has been saved.
 *
 * Variants:
 *	KEEP_CR2	3.5 and 3.6: the handler puts CR2 back
 *	NO_CS_TEST	without the test of CS, as in the RFC: its other defect, the loss of rdi, alone is mended
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.text

	.globl	nmi
	.globl	irq_return
nmi:
	/* rdx is the only register saved here, hence the only one the code up to first_nmi may use. */
	pushq	%rdx

#ifndef NO_CS_TEST
	/* User mode puts into RSP what it likes. It is never nested: the first NMI does not return there before its work is done. */
	cmpl	$__KERNEL_CS, 16(%rsp)
	jne	first_nmi
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

nested_nmi:
	/* Was the first NMI just going round again? Its body is still to start, nothing need be asked for. */
	leaq	repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Lredirect
	leaq	end_repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	nested_nmi_out

.Lredirect:
	/*
	 * Step over the mark and the saved frame, to T-48, and push a new copied frame from there. T-48 is
	 * also the RSP with which repeat_nmi starts.
	 */
	leaq	-48(%rsp), %rdx
	movq	%rdx, %rsp
	pushq	$__KERNEL_DS
	pushq	%rdx
	pushfq
	pushq	$__KERNEL_CS
	leaq	repeat_nmi(%rip), %rdx
	pushq	%rdx

	/* From T-88 back to T. */
	addq	$88, %rsp

nested_nmi_out:
	popq	%rdx
	iretq

first_nmi:
	/* T-8: busy from here on. */
	pushq	$1

	/* T-16 ... T-48, saved: RSP moves down with each word, so the source is at the same distance. */
	pushq	48(%rsp)
	pushq	48(%rsp)
	pushq	48(%rsp)
	pushq	48(%rsp)
	pushq	48(%rsp)

	/* T-56 ... T-88, copied. */
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)

	/* The word at T is left in place; the next NMI will need the room for its own rdx. */
	movq	88(%rsp), %rdx

restart_nmi:
	/* RSP = T-88. The copied frame becomes the tail of a pt_regs. */
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
#ifdef KEEP_CR2
	/* The body may fault, and the interrupted code may be a page fault handler that has not read CR2 yet. C keeps r12. */
	movq	%cr2, %r12
#endif
	movq	%rsp, %rdi
	movq	$-1, %rsi
	call	do_nmi

#ifdef KEEP_CR2
	/* Written only if it has changed: the write is expensive under a hypervisor. */
	movq	%cr2, %rcx
	cmpq	%rcx, %r12
	je	.Lcr2_kept
	movq	%r12, %cr2
.Lcr2_kept:
#endif
	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs

nmi_restore:
	POP_REGS
	addq	$8, %rsp		/* orig_rax: T-88, the copied frame */

	/* Free again. Until the IRETQ is done only the RSP test can tell. */
	movq	$0, 80(%rsp)
irq_return:
	iretq

repeat_nmi:
	/* A redirected IRETQ arrives here: RSP = T-48, NMIs unblocked, all other registers the context's. */
	movq	$1, 40(%rsp)

	/* Renew the copied frame from the saved one. */
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	pushq	32(%rsp)
	jmp	restart_nmi
end_repeat_nmi:
	int3				/* not reached: gives the label an address of its own */
