/*
 * The C function behind the NMI entry of Linux, do_nmi, with what versions up to 6.7 have around the body: the state word, CR2, DR7
 * and the sequence number of the check for stuck CPUs. Here nothing else keeps NMIs apart: the entry is the plain one, and the gate has
 * no IST, as on i386, for which the state word was invented (ccd49c239177, 3.3). x86-64 has needed it since 4.2 (9d05041679904), when
 * NMIs from ring 3 moved to the thread stack; those from ring 0 are kept apart by the entry there (asm/linux_nmi.S).
 *
 * nmi_state, per CPU: NOT_RUNNING, EXECUTING (a body runs), LATCHED (one does, and another NMI has come since).
 * nmi_cr2, nmi_dr7, per CPU: what CR2 and DR7 were when the state became EXECUTING. The body may fault, and the interrupted code may
 * be a page fault's handler that has not read CR2; the body runs without breakpoints.
 * nmi_sequence, per CPU: odd while a body is being run, else even; nmi_warnings counts how often that was found to be wrong.
 *
 * Macros, each for one way to get it wrong:
 *
 *	NO_STATE		no state word at all (i386 up to 3.2)
 *	SPLIT_DECREMENT		EXECUTING and LATCHED are counted down by a load, a subtraction and a store
 *	NO_CR2			CR2 is not kept
 *	CR2_AFTER_DECREMENT	CR2 is given back after the state has become NOT_RUNNING
 *	DR7_AFTER_DECREMENT	the same for DR7
 *	SEQUENCE_AFTER_DECREMENT	the sequence number becomes even after that (before f44075ecafb7, 6.7)
 *
 * Stack of the entry: see asm/linux_nmi_plain.S, with the interrupted RSP in place of the IST top.
 */

	.globl	ist_2
	.set	ist_2, 0

#include "linux_nmi_plain.S"

#define NMI_NOT_RUNNING		0
#define NMI_EXECUTING		1

/* DR7 with all breakpoints off. */
#define DR7_OFF			0x400

	.macro	RESTORE_CR2
	movq	%cr2, %rax
	cmpq	%gs:nmi_cr2, %rax
	je	.Lcr2_kept
	movq	%gs:nmi_cr2, %rax
	movq	%rax, %cr2
.Lcr2_kept:
	.endm

	.macro	RESTORE_DR7
	movq	%gs:nmi_dr7, %rax
	movq	%rax, %dr7
	.endm

	.macro	SEQUENCE_EVEN
	incl	%gs:nmi_sequence
	testl	$1, %gs:nmi_sequence
	jz	.Leven
	incl	%gs:nmi_warnings
.Leven:
	.endm

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
#ifndef NO_STATE
	/* Test and set need not be one step: an NMI in between finds NOT_RUNNING and leaves NOT_RUNNING behind. */
	cmpl	$NMI_NOT_RUNNING, %gs:nmi_state
	jne	do_nmi_latch
	movl	$NMI_EXECUTING, %gs:nmi_state
#endif
do_nmi_first:
	pushq	%rbx
	movq	%rdi, %rbx

	/* From here on nmi_cr2 and nmi_dr7 are this NMI's: no other one gets here while the state is not NOT_RUNNING. */
	movq	%cr2, %rax
	movq	%rax, %gs:nmi_cr2
	movq	%dr7, %rax
	movq	%rax, %gs:nmi_dr7
	movl	$DR7_OFF, %eax
	movq	%rax, %dr7

#ifdef SEQUENCE_AFTER_DECREMENT
	incl	%gs:nmi_sequence
	testl	$1, %gs:nmi_sequence
	jnz	.Lodd
	incl	%gs:nmi_warnings
.Lodd:
nmi_restart:
#else
nmi_restart:
	incl	%gs:nmi_sequence
	testl	$1, %gs:nmi_sequence
	jnz	.Lodd
	incl	%gs:nmi_warnings
.Lodd:
#endif

	movq	%rbx, %rdi
	call	default_do_nmi

nmi_body_done:
#ifndef DR7_AFTER_DECREMENT
	RESTORE_DR7
#endif
#if !defined(CR2_AFTER_DECREMENT) && !defined(NO_CR2)
	RESTORE_CR2
#endif
#ifndef SEQUENCE_AFTER_DECREMENT
	SEQUENCE_EVEN
#endif

	/* EXECUTING becomes NOT_RUNNING, LATCHED becomes EXECUTING, in one step: an NMI in between would latch in vain. */
nmi_decrement:
#ifdef SPLIT_DECREMENT
	movl	%gs:nmi_state, %eax
	subl	$1, %eax
	movl	%eax, %gs:nmi_state
	jnz	nmi_restart
#elif !defined(NO_STATE)
	decl	%gs:nmi_state
	jnz	nmi_restart
#endif

	/* What comes too late, if a macro says so. */
nmi_decremented:
#ifdef DR7_AFTER_DECREMENT
	RESTORE_DR7
#endif
#ifdef CR2_AFTER_DECREMENT
	RESTORE_CR2
#endif
#ifdef SEQUENCE_AFTER_DECREMENT
	SEQUENCE_EVEN
#endif
	popq	%rbx
	ret

#ifndef NO_STATE
do_nmi_latch:
	movl	$NMI_EXECUTING+1, %gs:nmi_state
	ret
#endif
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

/* #PF: reads what every handler of it has to read, and returns. */
	.globl	page_fault
page_fault:
	pushq	%rax
	movq	%cr2, %rax
page_fault_read:
	popq	%rax
	addq	$8, %rsp		/* the error code */
	iretq

	.section .data..percpu,"aw",@progbits
	.balign	8
nmi_cr2:
	.quad	0
nmi_dr7:
	.quad	0
nmi_state:
	.long	NMI_NOT_RUNNING
nmi_sequence:
	.long	0
nmi_warnings:
	.long	0
