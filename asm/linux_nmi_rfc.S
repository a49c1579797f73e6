/*
 * NMI entry that tolerates nesting, as first proposed for Linux: the RFC of 2011-12-08
 * "x86: Add workaround to NMI iret woes" (seed 001_79c54b563f90cb37). A revised form went into 3.3.
 *
 * The first NMI marks the stack as busy and keeps two copies of the hardware frame. One that comes
 * while it runs writes "return to repeat_nmi" over the copy that the first will return by, and leaves.
 * So the first one's IRET runs the handler again instead of giving the context back.
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
 * The defects of the RFC are kept, since they are what this file is for:
 *	- the nested path loses rdi. Code that still needs it: the body, and the exit after nmi_restore
 *	  has loaded it, i.e. nmi_restore+15, nmi_restore+16 and irq_return+0;
 *	- no test of CS: a user RSP that points into the NMI stack makes a first NMI look nested, and it
 *	  is lost; so does the SYSCALL gap, where the kernel still runs on the user's RSP;
 *	- both bounds of the RSP test belong to the "inside";
 *	- the frame that changes is part of pt_regs, so the body can see its own pt_regs change;
 *	- CR2 is not kept.
 */
#include "include/linux.h"

	.text

	.globl	nmi
nmi:
	/* rdx is the only register saved here, hence the only one the code up to first_nmi may use. */
	pushq	%rdx

	/*
	 * Busy already? The operand is 32 bits wide, enough for 0 and 1. The word is read before the very
	 * first NMI has written it: the stack must start zeroed.
	 */
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
	 * also the RSP with which repeat_nmi starts. rdi is not saved anywhere: it stays T-48.
	 */
	leaq	-48(%rsp), %rdi
	movq	%rdi, %rsp
	pushq	$__KERNEL_DS
	pushq	%rdi
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
	subq	$PT_ORIG_RAX, %rsp
	movq	%rdi, PT_RDI(%rsp)
	movq	%rsi, PT_RSI(%rsp)
	movq	%rdx, PT_RDX(%rsp)
	movq	%rcx, PT_RCX(%rsp)
	movq	%rax, PT_RAX(%rsp)
	movq	%r8, PT_R8(%rsp)
	movq	%r9, PT_R9(%rsp)
	movq	%r10, PT_R10(%rsp)
	movq	%r11, PT_R11(%rsp)
	movq	%rbx, PT_RBX(%rsp)
	movq	%rbp, PT_RBP(%rsp)
	movq	%r12, PT_R12(%rsp)
	movq	%r13, PT_R13(%rsp)
	movq	%r14, PT_R14(%rsp)
	movq	%r15, PT_R15(%rsp)
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
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs

nmi_restore:
	movq	PT_R15(%rsp), %r15
	movq	PT_R14(%rsp), %r14
	movq	PT_R13(%rsp), %r13
	movq	PT_R12(%rsp), %r12
	movq	PT_RBP(%rsp), %rbp
	movq	PT_RBX(%rsp), %rbx
	movq	PT_R11(%rsp), %r11
	movq	PT_R10(%rsp), %r10
	movq	PT_R9(%rsp), %r9
	movq	PT_R8(%rsp), %r8
	movq	PT_RAX(%rsp), %rax
	movq	PT_RCX(%rsp), %rcx
	movq	PT_RDX(%rsp), %rdx
	movq	PT_RSI(%rsp), %rsi
	movq	PT_RDI(%rsp), %rdi
	addq	$PT_RIP, %rsp		/* T-88: the copied frame */

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

	.globl	irq_return
