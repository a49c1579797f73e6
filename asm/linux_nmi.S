/*
 * NMI entry of Linux 4.2 and later (with an IDT), and the C function behind it, do_nmi.
 *
 * Sources: the design that began with the mail of 2011-12-08 (seed 001_79c54b563f90cb37), in the form
 * that the fixes of July 2015 gave it (4.2): 9b6e6a8334d5 user NMIs on the thread stack, 810bc075f78f
 * the DF test, a27507ca2d79 the order of the tests, 9d05041679904 the state word of do_nmi.
 *
 * From user mode: the handler leaves the NMI stack at once and runs on the thread stack, which is empty
 * then. A second NMI finds the NMI stack free; it is do_nmi's state word that keeps the body from being
 * entered twice.
 *
 * From kernel mode: the handler stays on the NMI stack, for the interrupted RSP cannot be trusted. A
 * second NMI would be delivered over the first one's frame, so that frame is copied out of the way; the
 * second one only redirects the first one's IRETQ to repeat_nmi.
 *
 * NMI stack in the kernel path, T = IST top - 48 (where the first instruction pushes rdx):
 *
 *	T+40  SS	\
 *	T+32  RSP	 |
 *	T+24  RFLAGS	 | hardware frame; each later NMI writes it anew
 *	T+16  CS	 |
 *	T+8   RIP	/
 *	T     rdx	  each later NMI writes it anew
 *	T-8   executing	  1 from repeat_nmi until just before the last IRETQ, else 0
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
 * Needed from outside: a zeroed NMI stack (T-8 is read before it is first written), and DF in
 * the SYSCALL flag mask. What no handler of this kind can bear is something that unblocks NMIs (a machine
 * check, an SMI with an IRET) before the hardware frame is out of harm's way: up to repeat_nmi in the kernel
 * path, up to the push of the saved rdx in the user path. A machine check whose handler itself unblocks NMIs does
 * harm at repeat_nmi, in the copy after it and at the last IRETQ too: RIP and RSP are then those of its handler.
 *
 * Variants:
 *	ESPFIX64	both returns go through native_iret (include/native_iret.S)
 */
#include "include/linux.h"
#ifdef ESPFIX64
#include "include/native_iret.S"
#endif

	.text

	.globl	nmi
	.globl	user_return
nmi:
	pushq	%rdx

	/*
	 * The CPL that was interrupted cannot be forged. Ring 3 is never "nested", whatever its RSP says,
	 * so this test comes before all those that believe in RSP.
	 */
	testb	$3, 16(%rsp)
	jz	nmi_from_kernel

nmi_from_user:
	/*
	 * NMIs are blocked, and nothing below unblocks them before do_nmi. Move everything that the next
	 * NMI would overwrite to the thread stack: the five words and rdx.
	 */
	swapgs
	cld
	movq	%rsp, %rdx
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	40(%rdx)
	pushq	32(%rdx)
	pushq	24(%rdx)
	pushq	16(%rdx)
	pushq	8(%rdx)
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	(%rdx)			/* rdx; from here on the NMI stack is free */
	pushq	%rcx
	pushq	%rax
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

	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

	/*
	 * Straight back: no rescheduling and no signals on the way, for NMIs may still be blocked and only an
	 * IRET unblocks them. If they are not, an NMI may come anywhere here: it sees CS = kernel and, after the
	 * SWAPGS, the user's GS.
	 */
swapgs_restore_regs_and_return_to_usermode:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$8, %rsp		/* orig_rax */
	swapgs
	.globl	user_return		/* for those who handle its faults */
user_return:
#ifdef ESPFIX64
	jmp	native_iret
#else
	iretq
#endif

nmi_from_kernel:
	/*
	 * In [repeat_nmi, end_repeat_nmi) the executing word may still be 0 and DF may be anything, so the
	 * tests below would be wrong there. A body is about to start; this NMI is served by it.
	 * This must be the first of the kernel tests.
	 */
	leaq	repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Ltest_executing
	leaq	end_repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	nested_nmi_out

.Ltest_executing:
	/* Set: nested, on whatever stack the first NMI, or a handler inside it, was just running. */
	cmpl	$1, -8(%rsp)
	je	nested_nmi

	/*
	 * Clear, yet between the clearing and the IRETQ it is nested all the same. There RSP is in the NMI
	 * stack. Outside of it: first.
	 */
	leaq	48(%rsp), %rdx
	cmpq	%rdx, 32(%rsp)
	ja	first_nmi
	subq	$EXCEPTION_STKSZ, %rdx
	cmpq	%rdx, 32(%rsp)
	jb	first_nmi

	/*
	 * RSP can also be in there by the user's choice: SYSCALL enters the kernel with it. But SYSCALL clears DF,
	 * and the exit below sets it. DF alone would not do, either: kernel code sets it for backward copies.
	 */
	testl	$RFLAGS_DF, 24(%rsp)
	jz	first_nmi

nested_nmi:
	/*
	 * Make the first NMI's IRETQ go to repeat_nmi: step over the executing word, push a new iret frame
	 * (T-16 ... T-48). Its RSP is that which repeat_nmi expects, T-88; its flags are those of now, with IF clear.
	 */
	subq	$8, %rsp
	leaq	-80(%rsp), %rdx
	pushq	$__KERNEL_DS
	pushq	%rdx
	pushfq
	pushq	$__KERNEL_CS
	leaq	repeat_nmi(%rip), %rdx
	pushq	%rdx
	addq	$48, %rsp		/* T again */

nested_nmi_out:
	popq	%rdx
	iretq

first_nmi:
	movq	(%rsp), %rdx

	/* T-8: not executing yet. Should NMIs have been unblocked, a half-made outermost frame must not be repeated. */
	pushq	$0

	/* T-16 ... T-48: room for the iret frame, filled at repeat_nmi. */
	subq	$40, %rsp

	/* T-56 ... T-88: outermost. RSP moves down with each word, so the source is at the same distance. */
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)

	/*
	 * Both the first round, from above, and each further one, through a redirected IRETQ: RSP = T-88 and all
	 * registers but RSP and the flags are the context's. In a further round NMIs are not blocked here.
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
	/* Here the iret frame is complete: an NMI from now on may redirect it, and its body comes after. */
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
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

	/*
	 * CS was the kernel's, GS need not be: before the SWAPGS of the SYSCALL entry and after those of the exits
	 * it is the user's. The base itself tells. EBX, which C keeps, holds 1 for "leave GS alone".
	 */
	movl	$1, %ebx
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	.Lkernel_gs
	swapgs
	xorl	%ebx, %ebx
.Lkernel_gs:

	/* DF: the context's, or in a further round the one that the exit below had set. */
	cld

	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs

nmi_restore:
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	addq	$48, %rsp		/* orig_rax and the outermost frame: T-48 */

	/* DF first, then the executing word: between the two a nested NMI must be recognised by one of them. */
	std
	movq	$0, 40(%rsp)
irq_return:
#ifdef ESPFIX64
	jmp	native_iret
#else
	iretq
#endif

/*
 * do_nmi(pt_regs *regs, long error_code): what Linux has in C around the body, default_do_nmi.
 *
 * nmi_state, per CPU:
 *	NOT_RUNNING	no body runs on this CPU
 *	EXECUTING	one does
 *	LATCHED		one does, and another NMI has come since: run it again
 *
 * It is needed for a user NMI, whose body runs on the thread stack and leaves the executing word at 0: a
 * second NMI goes through first_nmi and comes here.
 */
#define NMI_NOT_RUNNING		0
#define NMI_EXECUTING		1
#define NMI_LATCHED		2

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	/*
	 * Test and set need not be one step. An NMI in between finds NOT_RUNNING, does all of its own work
	 * and leaves NOT_RUNNING behind.
	 */
	cmpl	$NMI_NOT_RUNNING, %gs:nmi_state
	jne	do_nmi_latch
	movl	$NMI_EXECUTING, %gs:nmi_state

	pushq	%rbx
	movq	%rdi, %rbx

	/*
	 * The body may fault, and the interrupted code may be a page fault handler that has not read CR2 yet. There
	 * is one nmi_cr2 for each CPU: it belongs to whoever has set EXECUTING, so it is written after that.
	 */
	movq	%cr2, %rax
	movq	%rax, %gs:nmi_cr2

nmi_restart:
	movq	%rbx, %rdi
	call	default_do_nmi

	/* Still EXECUTING: an NMI that came now would be latched, and not put its own value into nmi_cr2. */
	movq	%cr2, %rax
	cmpq	%gs:nmi_cr2, %rax
	je	.Lcr2_kept
	movq	%gs:nmi_cr2, %rax
	movq	%rax, %cr2
.Lcr2_kept:

	/*
	 * EXECUTING becomes NOT_RUNNING, LATCHED becomes EXECUTING. One instruction, so that no NMI can
	 * latch between its load and its store and be forgotten.
	 */
	decl	%gs:nmi_state
	jnz	nmi_restart

	popq	%rbx
	ret

do_nmi_latch:
	movl	$NMI_LATCHED, %gs:nmi_state
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

	.section .data..percpu,"aw",@progbits
	.balign	8
nmi_cr2:
	.quad	0
nmi_state:
	.long	NMI_NOT_RUNNING
	.long	0
