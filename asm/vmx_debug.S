/*
 * A hypervisor that intercepts the debug exceptions of its guest and injects them again.
 *
 * Sources: KVM b9bed78e2fa9, 32d43cd391ba (CVE-2018-1087) and fd2a445a94d2; Xen 1d3eb82598 (XSA-308, CVE-2019-19583); SDM vol. 3,
 * 24.8.3 (types and instruction length), 26.3.1.5 (pending debug exceptions), 27.2.2.
 *
 * INT1 is an instruction: its #DB is a privileged software exception, is reported at the INT1, and goes on behind it, so the
 * injection needs the type and the length. Any other #DB is a hardware exception at the address to go on with. And the entry
 * checks that a guest with TF set in the shadow of STI or MOV SS has a single step pending; a #DB that exits has taken it.
 *
 *	INT1_AS_TRAP		all are injected as hardware exceptions
 *	ALL_AS_INT1		all are injected as INT1: they go on one byte further
 *	NO_PENDING_STEP		the field with the pending debug exceptions is left as it is
 *	NO_EMULATED_STEP	a CPUID, which is emulated, is not followed by the single step that TF asks for
 *
 *	COUNT_TRAPS		(of the guest's handler) it counts how often it is called
 *
 * Host stack: the guest's registers. Needs a context of asm/kvm/ with guest tables.
 */
#include "include/vmx.h"

	.text

/* The guest's handler. If it counts, the guest compares. */
	.globl	guest_debug, guest_debug_end
guest_debug:
#ifdef COUNT_TRAPS
	incl	guest_traps(%rip)
#endif
	iretq
guest_debug_end:

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
	vmset	EXCEPTION_BITMAP, 1<<1
	ret

	.globl	vm_exit
vm_exit:
	PUSH_REGS
	vmget	EXIT_REASON
	cmpl	$REASON_EXCEPTION, %eax
	je	exit_debug
	cmpl	$REASON_INTERRUPT, %eax
	je	exit_interrupt
	cmpl	$REASON_CPUID, %eax
	je	exit_cpuid
	cmpl	$REASON_VMCALL, %eax
	je	exit_done

	.globl	vm_abort
vm_abort:
	jmp	vm_abort

exit_debug:
	/* What the guest will find in DR6: exits leave it alone. Its lowest four bits and BS, for what is here. */
	vmget	EXIT_QUALIFICATION
	movq	%dr6, %rcx
	orq	%rcx, %rax
	movq	%rax, %dr6

	vmget	EXIT_INTERRUPTION
#if defined(INT1_AS_TRAP)
	movl	$INTERRUPTION_VALID|TYPE_EXCEPTION|1, %eax
#elif defined(ALL_AS_INT1)
	movl	$INTERRUPTION_VALID|TYPE_PRIVILEGED|1, %eax
#endif
	vmput	ENTRY_INTERRUPTION
#ifdef ALL_AS_INT1
	movl	$1, %eax
#else
	vmget	EXIT_LENGTH			/* used for INT1 only */
#endif
	vmput	ENTRY_LENGTH

#ifndef NO_PENDING_STEP
	vmget	GUEST_RFLAGS
	testl	$RFLAGS_TF, %eax
	jz	enter_guest
	vmget	GUEST_INTERRUPTIBILITY
	testl	$BLOCKING_BY_STI|BLOCKING_BY_MOV_SS, %eax
	jz	enter_guest
	vmset	GUEST_PENDING_DEBUG, PENDING_BS
#endif
	jmp	enter_guest

exit_cpuid:
	vmget	EXIT_LENGTH
	movq	%rax, %rcx
	vmget	GUEST_RIP
	addq	%rcx, %rax
	vmput	GUEST_RIP
	/* The instruction is over, and with it the shadow in which it was executed. */
	vmget	GUEST_INTERRUPTIBILITY
	andl	$~(BLOCKING_BY_STI|BLOCKING_BY_MOV_SS), %eax
	vmput	GUEST_INTERRUPTIBILITY
#ifndef NO_EMULATED_STEP
	vmget	GUEST_RFLAGS
	testl	$RFLAGS_TF, %eax
	jz	enter_guest
	vmset	GUEST_PENDING_DEBUG, PENDING_BS
#endif
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

	.data
	.balign	8
	.globl	guest_traps
guest_traps:
	.long	0
