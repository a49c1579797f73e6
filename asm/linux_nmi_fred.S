/*
 * NMI entry of Linux on a processor with FRED (6.9 and later), and the C functions behind it: the dispatch of events and do_nmi.
 * For profiles with the knob fred.
 *
 * Source: the design of arch/x86/entry/entry_64_fred.S and entry_fred.c, and exc_nmi with its state word.
 *
 * All events come in at one of two places, and are told apart by what the processor has written beside SS. There is nothing
 * here of what an NMI entry with an IDT is made of, because the processor does it:
 *
 *	- the GS base is the kernel's, whatever was interrupted: it is exchanged with events from ring 3, and ring 0 never runs
 *	  with another one. SYSCALL is an event too, so there is no gap with the user's RSP and GS;
 *	- the frame of an NMI is not overwritten by the next one. In ring 0 an NMI and #MC are handled on level 2, the NMI stack: the
 *	  first one comes to its top, one that interrupts it there continues below. Events from ring 3 come to level 0, the thread
 *	  stack, which is empty then;
 *	- only the return that belongs to an NMI unblocks NMIs: bit 18 of the SS word says so, and the returns of #BP, #MC or #PF,
 *	  which come in between, do not have it. Something that unblocks NMIs all the same, an IRET in SMM, makes NMIs nest,
 *	  with a frame each. Then do_nmi's state word keeps the body from being entered twice;
 *	- RFLAGS is 2 at the entry: DF, AC, NT and TF are clear;
 *	- CR2 need not be kept for a page fault's handler that is interrupted: the address is in its frame.
 *
 * Stack, R = IA32_FRED_RSPn, or the interrupted RSP less 64, rounded down to 64 bytes:
 *
 *	R-8   0
 *	R-16  event data
 *	R-24  SS	\
 *	R-32  RSP	 |
 *	R-40  RFLAGS	 | the tail of pt_regs
 *	R-48  CS	 |
 *	R-56  RIP	/
 *	R-64  error code; where pt_regs has orig_rax
 *	R-72  rdi ... R-184 r15		pt_regs begins at R-184
 */
#include "include/linux.h"

/* The upper half of the SS word: the event's type is in its bits 19:16. */
#define FRED_TYPE_SHIFT		16
#define FRED_TYPE_MASK		0xf
#define FRED_TYPE_NMI		2

/* Where ring 0 comes in, from the start of the page. */
#define FRED_KERNEL_ENTRY	256

	.macro	FRED_ENTER
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
	movq	%rsp, %rdi
	.endm

	/* Ends with RSP at the error code, which both returns pass over. */
	.macro	FRED_EXIT
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
	.endm

	.text
	.balign	4096

	.globl	asm_fred_entrypoint_user
asm_fred_entrypoint_user:
	FRED_ENTER
	call	fred_entry
fred_exit_user:
	FRED_EXIT
user_return:
	eretu

	.org	asm_fred_entrypoint_user+FRED_KERNEL_ENTRY, 0xcc

	.globl	asm_fred_entrypoint_kernel
asm_fred_entrypoint_kernel:
	FRED_ENTER
	call	fred_entry
fred_exit_kernel:
	FRED_EXIT
kernel_return:
	erets

/* fred_entry(pt_regs *regs): goes on in the function for this event. */
fred_entry:
	movl	PT_SS+4(%rdi), %eax
	shrl	$FRED_TYPE_SHIFT, %eax
	andl	$FRED_TYPE_MASK, %eax
	movq	PT_ORIG_RAX(%rdi), %rsi		/* the error code */
	movq	$-1, PT_ORIG_RAX(%rdi)		/* this is no system call */
	cmpl	$FRED_TYPE_NMI, %eax
	jne	fred_other_event

/*
 * do_nmi(pt_regs *regs, long error_code): what Linux has in C around the body, default_do_nmi.
 *
 * nmi_state, per CPU:
 *	NOT_RUNNING	no body runs on this CPU
 *	EXECUTING	one does
 *	LATCHED		one does, and another NMI has come since: run it again
 */
#define NMI_NOT_RUNNING		0
#define NMI_EXECUTING		1
#define NMI_LATCHED		2

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	/* An NMI between test and set finds NOT_RUNNING, does all of its own work and leaves NOT_RUNNING behind. */
	cmpl	$NMI_NOT_RUNNING, %gs:nmi_state
	jne	do_nmi_latch
	movl	$NMI_EXECUTING, %gs:nmi_state

	pushq	%rbx
	movq	%rdi, %rbx
nmi_restart:
	movq	%rbx, %rdi
	call	default_do_nmi

	/* EXECUTING becomes NOT_RUNNING, LATCHED becomes EXECUTING, in one step: a latched NMI is never forgotten. */
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
nmi_state:
	.long	NMI_NOT_RUNNING
	.long	0
