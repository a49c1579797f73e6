/*
 * A hypervisor that emulates a branch of its guest, and writes where it leads into the guest's RIP.
 *
 * Sources: XSA-170 (Xen 10c83bb0f5); SDM vol. 3, 26.3.1.4 (RIP must be canonical), 24.8.3 (error codes).
 *
 * A branch to a non-canonical address is a #GP at the branch. A processor that executes it notices; an emulator that does not look
 * enters the guest with an RIP that no guest can have: the VM entry fails, and the guest dies of what its user mode has done. CPUID
 * stands for the emulated branch, jmp *%rbx.
 *
 *	UNCHECKED	the target is taken as it is
 *
 * Host stack: the guest's registers. Needs a context of asm/kvm/ with guest tables.
 */
#include "include/vmx.h"

#define SAVED_RBX		40
#define INTERRUPTION_CODE	(1 << 11)
#define GENERAL_PROTECTION	13

	.text

/* The guest's handler: it goes on behind the branch, as a signal handler would. Stack: error code, RIP, CS … */
	.globl	guest_general_protection, guest_general_protection_end
guest_general_protection:
	addq	$8, %rsp
	addq	$2, (%rsp)			/* CPUID has two bytes */
	iretq
guest_general_protection_end:

/* The host's. */
	.globl	interrupt_0x20
interrupt_0x20:
	iretq

	.globl	host_controls
host_controls:
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_INTERRUPTS
	vmset	PROCESSOR_BASED_CONTROLS, PROCESSOR_ONES
	vmset	EXIT_CONTROLS, EXIT_ONES|EXIT_HOST_64
	vmset	ENTRY_CONTROLS, ENTRY_ONES|ENTRY_IA32E
	ret

	.globl	vm_exit
vm_exit:
	PUSH_REGS
	vmget	EXIT_REASON
	cmpl	$REASON_INTERRUPT, %eax
	je	exit_interrupt
	cmpl	$REASON_CPUID, %eax
	je	exit_branch
	cmpl	$REASON_VMCALL, %eax
	je	exit_done

	.globl	vm_abort
vm_abort:
	jmp	vm_abort

exit_branch:
	movq	SAVED_RBX(%rsp), %rax
#ifndef UNCHECKED
	/* Canonical: bits 63 to 47 are equal. */
	movq	%rax, %rcx
	shlq	$16, %rcx
	sarq	$16, %rcx
	cmpq	%rax, %rcx
	jne	refuse_branch
#endif
	vmput	GUEST_RIP
	jmp	enter_guest

refuse_branch:
	vmset	ENTRY_ERROR_CODE, 0
	vmset	ENTRY_INTERRUPTION, INTERRUPTION_VALID|INTERRUPTION_CODE|TYPE_EXCEPTION|GENERAL_PROTECTION
	jmp	enter_guest

exit_interrupt:
	sti
	nop
	cli

enter_guest:
	POP_REGS
	.globl	resume_guest
resume_guest:
	vmresume
	jmp	vm_abort

exit_done:
	POP_REGS
	jmp	vmx_done
