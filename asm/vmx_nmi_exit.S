/*
 * How a hypervisor handles an NMI that has arrived while its guest ran (VM exit, reason 0, type NMI).
 *
 * Sources: Cooper's issue 8 (seed 000_3ee5579ca9a792d7) and Xen 7dd3b06ff0 (2013), which mends a569ec6147 (2009); Xen 322cfce187;
 * KVM a217a6593cec and 11df586d774f; SDM vol. 3, 27.5.5: an exit because of an NMI leaves NMIs blocked, no other one does.
 *
 * The NMI is consumed: the exit is all that is left of it, and somebody must call its handler. NMIs are blocked meanwhile, and the
 * VM entry unblocks nothing for the host, so the handler is followed by an IRET to the next instruction. Only then may
 * interrupts be enabled: the IRET of an interrupt's handler would unblock NMIs just as well.
 *
 * Altered by:
 *	SELF_NMI		the handler is not called: the hypervisor sends itself an NMI and lets its IDT deliver that. NMIs are
 *				blocked: it stays pending, the VM entry lets it in, and the guest exits at once, for ever, or
 *				rather until the guest's time slice ends.
 *	SELF_NMI_ENABLES	so it does, and self_nmi() ends with interrupts enabled (Xen until 322cfce187)
 *	IGNORE_NMI		nothing is done at all
 *	NEVER_ENABLE		the handler is called, NMIs stay blocked
 *	INTERRUPTS_FIRST	interrupts are enabled before the handler is called
 *	ENABLE_NMIS_LAST	interrupts are enabled before NMIs are
 *	TRACE_FIRST		a breakpoint is hit before the handler is called: instrumentation
 *	JUMP_TO_IST_ENTRY	the handler's entry for the IST stack is jumped to, with a frame made by hand on the stack in use
 *	NMI_CALLBACK		the handler is not do_nmi but what a variable of this name points to (vmx_shootdown.S)
 *	STALE_ONE		below the stack pointer, where nobody has pushed anything yet, there is a one
 *
 * Host stack: pt_regs with the guest's registers, of which the last six words are filled in for NMIs only. Needs a context of
 * asm/kvm/, and an NMI handler that calls do_nmi.
 */
#include "include/vmx.h"

	.text

	.globl	host_controls
host_controls:
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_INTERRUPTS|PIN_NMIS|PIN_VIRTUAL_NMIS
	vmset	PROCESSOR_BASED_CONTROLS, PROCESSOR_ONES
	vmset	EXIT_CONTROLS, EXIT_ONES|EXIT_HOST_64
	vmset	ENTRY_CONTROLS, ENTRY_ONES|ENTRY_IA32E
	ret

	.globl	vm_exit
vm_exit:
	subq	$PT_SIZE-PT_ORIG_RAX, %rsp
	PUSH_REGS

	vmget	EXIT_REASON
	cmpl	$REASON_EXCEPTION, %eax
	je	exit_nmi
	cmpl	$REASON_INTERRUPT, %eax
	je	exit_interrupt
	cmpl	$REASON_VMCALL, %eax
	je	exit_done

	.globl	vm_abort
vm_abort:
	jmp	vm_abort

exit_nmi:
#ifdef TRACE_FIRST
	int3
#endif
#ifdef INTERRUPTS_FIRST
	sti
	nop
	cli
#endif
#if defined(SELF_NMI) || defined(SELF_NMI_ENABLES)
	movl	$MSR_X2APIC_ICR, %ecx
	xorl	%edx, %edx			/* the APIC ID of this processor */
	movl	$ICR_NMI, %eax
	wrmsr
#ifdef SELF_NMI_ENABLES
	sti
	nop
	cli
#endif
	jmp	enter_guest
#elif defined(JUMP_TO_IST_ENTRY)
#ifdef STALE_ONE
	pushq	$1				/* two words down from the frame that follows */
	movq	(%rsp), %rax
	pushq	%rax
	pushq	%rax
	pushq	%rax
	pushq	%rax
	pushq	%rax
	pushq	%rax
	pushq	%rax
	addq	$64, %rsp
#endif
	/* RSP is as for an IST stack: a multiple of 16 at the top of the frame. */
	movq	%rsp, %rax
	andq	$-16, %rsp
	pushq	$__KERNEL_DS
	pushq	%rax
	pushfq
	pushq	$__KERNEL_CS
	leaq	nmi_handled(%rip), %rax
	pushq	%rax
	jmp	nmi
nmi_handled:
#elif !defined(IGNORE_NMI)
	movq	$-1, PT_ORIG_RAX(%rsp)
	vmget	GUEST_RIP
	movq	%rax, PT_RIP(%rsp)
	vmget	GUEST_CS_SELECTOR
	movq	%rax, PT_CS(%rsp)
	vmget	GUEST_RFLAGS
	movq	%rax, PT_RFLAGS(%rsp)
	vmget	GUEST_RSP
	movq	%rax, PT_RSP(%rsp)
	vmget	GUEST_SS_SELECTOR
	movq	%rax, PT_SS(%rsp)
	movq	%rsp, %rdi
	xorl	%esi, %esi
#ifdef NMI_CALLBACK
	call	*nmi_callback(%rip)
#else
	call	do_nmi
#endif
#ifdef ENABLE_NMIS_LAST
	sti
	nop
	cli
#endif
#ifndef NEVER_ENABLE
	call	enable_nmis
#endif
#endif

exit_interrupt:
	/* What waits for the host is taken here, through its own IDT. */
	sti
	nop
	cli

enter_guest:
	POP_REGS
	addq	$PT_SIZE-PT_ORIG_RAX, %rsp
	.globl	resume_guest
resume_guest:
	vmresume
	jmp	vm_abort

exit_done:
	POP_REGS
	addq	$PT_SIZE-PT_ORIG_RAX, %rsp
	jmp	vmx_done

/* Unblocks NMIs by an IRET to the next instruction. Changes RAX. */
	.globl	enable_nmis
enable_nmis:
	movq	%rsp, %rax
	pushq	$__KERNEL_DS
	pushq	%rax
	pushfq
	pushq	$__KERNEL_CS
	leaq	nmis_enabled(%rip), %rax
	pushq	%rax
	iretq
nmis_enabled:
	ret
	.globl	vmx_nmi_exit_end
vmx_nmi_exit_end:
	int3
