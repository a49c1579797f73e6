/*
 * Entry for a vector with an IST stack of its own, which bears nesting in itself and stops the system where a frame is lost.
 * Macros of the assembler only.
 *
 * IST_ENTRY name, vector, body, other, distance: `other` is the other vector with such an entry, `distance` what is to be
 * added to an address on the stack of `name` for the same place on that of `other`.
 *
 * From the guest the frame goes to the bottom of the primary stack. From the hypervisor it is copied twice on the IST stack, and
 * a nested event redirects the IRET of the one that runs to the second copy, as Linux does since 4.2 (asm/linux_nmi.S has the
 * layout, with T = top - 48: rdx at T, "executing" at T-8, iret T-16 … T-48, outermost T-56 … T-88).
 *
 * What that cannot mend is a frame that is overwritten before it has been copied, or, in the nested path, before its IRET: the
 * two *early* stretches [name, name_stack_free) and [name_from_xen, name_repeat). The event that overwrites it finds out, for it
 * has interrupted code in one of them: directly; or in the other vector's handler, which has interrupted code in one of them.
 * Which of the other's frames tells so depends on where it is: its hardware frame as long as it is early itself, then its
 * outermost copy. "Executing" says that there is one when something else has been interrupted, as a fault in its body.
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
	/* A round is about to start. */
	JUMP_IF_WITHIN 8(%rsp), \name\()_repeat, \name\()_repeat_end, \name\()_nested_out

	/* Has this one overwritten a frame? Under it, or under the other's handler. */
	JUMP_IF_EARLY 8(%rsp), \name, ist_frame_lost
	JUMP_IF_EARLY 8(%rsp), \other, \name\()_above_early
	JUMP_IF_WITHIN 8(%rsp), \other\()_repeat, \other\()_end, \name\()_above_running
	cmpl	$1, \distance-8(%rsp)
	jne	\name\()_frame_kept
\name\()_above_running:
	JUMP_IF_EARLY \distance-88(%rsp), \name, ist_frame_lost
	jmp	\name\()_frame_kept
\name\()_above_early:
	JUMP_IF_EARLY \distance+8(%rsp), \name, ist_frame_lost
\name\()_frame_kept:

	/* As in Linux: nested if executing, or just not any more. */
	cmpl	$1, -8(%rsp)
	je	\name\()_nested
	leaq	48(%rsp), %rdx
	cmpq	%rdx, 32(%rsp)
	ja	\name\()_first
	subq	$PAGE_SIZE, %rdx
	cmpq	%rdx, 32(%rsp)
	jb	\name\()_first
	testl	$RFLAGS_DF, 24(%rsp)
	jz	\name\()_first

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
	std
	movq	$0, 40(%rsp)
\name\()_iret:
	iretq
\name\()_end:
	int3				/* not reached: gives the label an address of its own */
	.endm
