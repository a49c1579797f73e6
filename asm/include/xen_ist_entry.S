/*
 * Entry for a vector with an IST stack of its own, which bears nesting in itself and stops the system where a frame is lost.
 * Macros of the assembler only.
 *
 * IST_ENTRY name, vector, body, other, distance: `other` is the other vector with such an entry, `distance` what is to be
 * added to an address on the stack of `name` for the same place on that of `other`.
 *
 * From the guest the frame goes to the bottom of the primary stack. From the hypervisor it is copied twice on the IST stack,
 * and a nested event redirects the IRET of the one that runs to the second copy, as in Linux (asm/linux_nmi.S has the layout,
 * with T = top - 48: rdx at T, "executing" at T-8, iret T-16 … T-48, outermost T-56 … T-88). Unlike Linux this does not ask for
 * RSP and DF: where a handler has been interrupted, RIP says what a nested event has to do.
 *
 *	[name, name_stack_free), [name_from_xen, name_repeat)	*early*: the hardware frame was still needed: it is lost
 *	[name_repeat, name_repeat_end)	a round is about to start, and serves this event too
 *	name_iret			nested, although "executing" is clear
 *	elsewhere			nested if "executing" is set
 *
 * The handler need not have been interrupted directly: the other vector's may have come in between, and its frame has the RIP
 * then. Which one depends on where that handler is: the hardware frame while it is early itself; and the outermost copy
 * from the first round to the IRET, "executing" says so when something else runs, as the handler of a fault in its body.
 */
	.macro	JUMP_IF_WITHIN place, first, end, target
	leaq	\first(%rip), %rdx
	cmpq	%rdx, \place
	jb	.Lnot_within\@
	leaq	\end(%rip), %rdx
	cmpq	%rdx, \place
	jb	\target
.Lnot_within\@:
	.endm

	.macro	JUMP_IF_EARLY place, name, target
	JUMP_IF_WITHIN \place, \name, \name\()_stack_free, \target
	JUMP_IF_WITHIN \place, \name\()_from_xen, \name\()_repeat, \target
	.endm

	.macro	ACT_BY_RIP place, name
	JUMP_IF_WITHIN \place, \name\()_repeat, \name\()_repeat_end, \name\()_nested_out
#ifndef LOST_FRAMES_IGNORED
	JUMP_IF_EARLY \place, \name, ist_frame_lost
#endif
	JUMP_IF_WITHIN \place, \name\()_iret, \name\()_end, \name\()_nested
	.endm

	.macro	IST_ENTRY name, vector, body, other, distance
	.globl	\name
\name:
	pushq	%rdx
	testb	$3, 16(%rsp)
	jz	\name\()_from_xen

\name\()_from_guest:
	movq	%rsp, %rdx
	orq	$STACK_SIZE-1, %rdx
	leaq	STACK_CPUINFO_FIELD(UREGS_ss+8)(%rdx), %rdx
	xchgq	%rsp, %rdx
	pushq	40(%rdx)
	pushq	32(%rdx)
	pushq	24(%rdx)
	pushq	16(%rdx)
	pushq	8(%rdx)
	pushq	$0
	movl	$\vector, 4(%rsp)
	pushq	%rdi
	pushq	%rsi
	pushq	(%rdx)
\name\()_stack_free:
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
	cld
	movq	%rsp, %rdi
	call	\body
	jmp	ist_exit_to_guest

\name\()_from_xen:
	ACT_BY_RIP 8(%rsp), \name
#ifndef OTHER_STACK_IGNORED
	JUMP_IF_EARLY 8(%rsp), \other, \name\()_above_early
	JUMP_IF_WITHIN 8(%rsp), \other\()_repeat, \other\()_end, \name\()_above_running
	jmp	\name\()_above_other
\name\()_above_early:
	ACT_BY_RIP \distance+8(%rsp), \name
\name\()_above_other:
	cmpl	$1, \distance-8(%rsp)
	jne	\name\()_by_mark
\name\()_above_running:
	ACT_BY_RIP \distance-88(%rsp), \name
#endif
\name\()_by_mark:
	cmpl	$1, -8(%rsp)
	jne	\name\()_first

\name\()_nested:
	subq	$8, %rsp
	leaq	-80(%rsp), %rdx
	pushq	$__HYPERVISOR_DS32
	pushq	%rdx
	pushfq
	pushq	$__HYPERVISOR_CS
	leaq	\name\()_repeat(%rip), %rdx
	pushq	%rdx
	addq	$48, %rsp
\name\()_nested_out:
	popq	%rdx
	iretq

\name\()_first:
	movq	(%rsp), %rdx
	pushq	$0
	subq	$40, %rsp
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
\name\()_repeat:
	movq	$1, 80(%rsp)
	addq	$80, %rsp
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	subq	$40, %rsp
\name\()_repeat_end:
	pushq	$0
	movl	$\vector, 4(%rsp)
	SAVE_ALL
	movq	%rsp, %rdi
	call	\body
\name\()_restore:
	RESTORE_ALL
	addq	$48, %rsp
	movq	$0, 40(%rsp)
\name\()_iret:
	iretq
\name\()_end:
	int3				/* not reached: gives the label an address of its own */
	.endm
