/*
 * A hypervisor that passes the external interrupts which arrive while its guest runs on to the guest.
 *
 * Source: "[PATCH] kvm: fix external interrupts inject directly bug with guestos RFLAGS.IF=0" and its discussion, January 2015
 * (seed 003_6dfab787138e46ef); SDM vol. 3, 24.8.3 (event injection), 26.3.1.4 and 26.3.1.5 (what an entry that injects
 * checks), 27.2.4 (IDT-vectoring information).
 *
 * Two kinds of interrupts must be told apart:
 *
 *	one that has arrived (reason 1): the exit interruption information has its vector, which becomes pending, as in a virtual
 *	interrupt controller. It is injected when the guest can take it: IF set, no blocking by STI or MOV SS. If it cannot,
 *	the hypervisor asks for an exit at the first boundary where it can (interrupt window).
 *
 *	one whose delivery in the guest the exit has interrupted (IDT-vectoring information): it was injected before, so it is
 *	pending no more. The guest could take it when its delivery began, and can still, for nothing of the delivery is
 *	left; it is injected again, unless somebody has changed the guest in between: then it becomes pending as well.
 *
 * Left out or altered by:
 *	INJECT_UNCHECKED	what has arrived is injected at once
 *	DROP_MASKED		what has arrived and cannot be taken now is forgotten ("the next step will handle it")
 *	DROP_ALL		so is all that arrives
 *	NO_WINDOW		it stays pending, but no window is asked for
 *	CHECK_VECTORING		the patch: what IDT-vectoring reports is injected again if the guest can take it, or else forgotten
 *	DROP_VECTORING		it is always forgotten
 *	REINJECT_UNCHECKED	it is injected again without a look at the guest
 *	REINJECT_AND_KEEP	it is injected again and becomes pending as well
 *	GUEST_FAULTS		faults are the guest's own: they are injected, before anything else. The interrupt whose delivery has
 *				raised one becomes pending: its delivery begins anew when the guest has handled the fault.
 *	INTERRUPT_OVER_FAULT	then the interrupt is injected again in place of the fault
 *	RELOAD_SS_LAST		SS is loaded directly before the VMRESUME, which fails in the shadow of a MOV SS (SDM 26.1)
 *	RELOAD_SS		it is loaded before the guest's registers are
 *	USERSPACE_CLEARS_IF	the exit because of a fault goes through user space, which gives the guest other flags
 *
 * Host stack: the guest's registers, r15 lowest; nothing else. Needs a context of asm/kvm/.
 */
#include "include/vmx.h"

	/* All external interrupts are the guest's. */
	.globl	guest_vectors
	.set	guest_vectors, 0x20

	/* The guest's handlers, in a section that its address space has, should it have one of its own. */
	.section .entry.text,"ax",@progbits

	.globl	interrupt_0x20, interrupt_0x21, guest_handlers_end
interrupt_0x20:
	nop
	iretq
interrupt_0x21:
	nop
	iretq
#ifdef GUEST_FAULTS
	.globl	guest_segment_not_present
guest_segment_not_present:
	orb	$0x80, %gs:guest_idt+16*0x20+5
	orb	$0x80, %gs:guest_idt+16*0x21+5
	addq	$8, %rsp			/* the error code */
	iretq
#endif
guest_handlers_end:

	.text

	.globl	host_controls
host_controls:
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_INTERRUPTS
	vmset	PROCESSOR_BASED_CONTROLS, PROCESSOR_ONES
	vmset	EXIT_CONTROLS, EXIT_ONES|EXIT_HOST_64|EXIT_ACKNOWLEDGE
	vmset	ENTRY_CONTROLS, ENTRY_ONES|ENTRY_IA32E
	vmset	EXCEPTION_BITMAP, 1<<11|1<<14
	ret

	.globl	vm_exit
vm_exit:
	PUSH_REGS

	/* First of all, and whatever the reason: was something being delivered? It goes to R12 (0: nothing). */
	xorl	%r12d, %r12d
#ifndef DROP_VECTORING
	vmget	IDT_VECTORING
	testl	%eax, %eax
	jns	nothing_interrupted
	testl	$TYPE_MASK, %eax
	jnz	nothing_interrupted	/* an exception: its instruction raises it again */
	movl	%eax, %r12d
nothing_interrupted:
#endif

	vmget	EXIT_REASON
	cmpl	$REASON_INTERRUPT, %eax
	je	exit_interrupt
	cmpl	$REASON_INTERRUPT_WINDOW, %eax
	je	enter_guest
	cmpl	$REASON_EXCEPTION, %eax
	je	exit_fault
	cmpl	$REASON_VMCALL, %eax
	je	exit_done

	.globl	vm_abort
vm_abort:
	jmp	vm_abort

exit_interrupt:
#ifndef DROP_ALL
	movl	%r12d, %r13d
	vmget	EXIT_INTERRUPTION
	movl	%eax, %r12d
	call	make_pending
	movl	%r13d, %r12d
#endif
	jmp	enter_guest

exit_fault:
#ifdef GUEST_FAULTS
	vmget	EXIT_ERROR_CODE
	vmput	ENTRY_ERROR_CODE
	vmget	EXIT_INTERRUPTION
	vmput	ENTRY_INTERRUPTION
	testl	%r12d, %r12d
	jz	choose_window
#ifdef INTERRUPT_OVER_FAULT
	jmp	enter_guest
#else
	call	make_pending
	jmp	choose_window
#endif
#endif
	/* Shadow paging: the page is the host's to map. The guest never learns of it. */
	movq	%cr3, %rax
	vmput	GUEST_CR3
#ifdef USERSPACE_CLEARS_IF
	vmget	GUEST_RFLAGS
	andl	$~RFLAGS_IF, %eax
	vmput	GUEST_RFLAGS
#endif

	.globl	enter_guest
enter_guest:
	/* R13: whether the guest can take an external interrupt. */
	xorl	%r13d, %r13d
	vmget	GUEST_RFLAGS
	testl	$RFLAGS_IF, %eax
	jz	cannot_take
	vmget	GUEST_INTERRUPTIBILITY
	testl	$BLOCKING_BY_STI|BLOCKING_BY_MOV_SS, %eax
	jnz	cannot_take
	movl	$1, %r13d
cannot_take:

	testl	%r12d, %r12d
	jz	inject_pending
#ifndef REINJECT_UNCHECKED
	testl	%r13d, %r13d
	jnz	inject_again
#ifndef CHECK_VECTORING
	/* It can no longer be taken: it is as if it had just arrived. */
	call	make_pending
#endif
	jmp	inject_pending
inject_again:
#endif
#ifdef REINJECT_AND_KEEP
	call	make_pending
#endif
	movl	%r12d, %eax
	vmput	ENTRY_INTERRUPTION
	jmp	choose_window

inject_pending:
	movq	pending_interrupts(%rip), %rcx
	testq	%rcx, %rcx
	jz	choose_window
#ifndef INJECT_UNCHECKED
	testl	%r13d, %r13d
#ifdef DROP_MASKED
	jnz	can_take
	movq	$0, pending_interrupts(%rip)
	jmp	choose_window
can_take:
#else
	jz	choose_window
#endif
#endif
	bsfq	%rcx, %rax
	btrq	%rax, %rcx
	movq	%rcx, pending_interrupts(%rip)
	addl	$0x20, %eax
	orl	$INTERRUPTION_VALID|TYPE_INTERRUPT, %eax
	vmput	ENTRY_INTERRUPTION

choose_window:
	/* What is still pending waits for the boundary at which the guest can take it. */
	movl	$PROCESSOR_ONES, %eax
#ifndef NO_WINDOW
	cmpq	$0, pending_interrupts(%rip)
	je	no_window
	orl	$INTERRUPT_WINDOW, %eax
no_window:
#endif
	vmput	PROCESSOR_BASED_CONTROLS

#ifdef RELOAD_SS
	movw	host_ss(%rip), %ss
#endif
	POP_REGS
#ifdef RELOAD_SS_LAST
	movw	host_ss(%rip), %ss
#endif
	.globl	resume_guest
resume_guest:
	vmresume
	jmp	vm_abort

exit_done:
	POP_REGS
	jmp	vmx_done

	/* The interrupt with the information in R12 becomes pending. Changes RAX and RCX. */
make_pending:
	movzbl	%r12b, %ecx
	subl	$0x20, %ecx
	movl	$1, %eax
	shlq	%cl, %rax
	orq	%rax, pending_interrupts(%rip)
	ret

	.data
	.balign	8
	/* Bit n: vector 0x20 + n has arrived and has not been injected. */
pending_interrupts:
	.quad	0
host_ss:
	.word	__KERNEL_DS
