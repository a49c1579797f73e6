/*
 * A hypervisor that passes NMIs on to its guest: virtual NMIs.
 *
 * Sources: KVM 0be9c7a89f75, 7460fb4a3400, 30bd0c4c6c5a, 801806d956c2; Xen f7708796db; FreeBSD r260863 and 160471d264f7; SDM vol. 3,
 * 24.4.2 (interruptibility state), 26.3.1.5, 26.6.1, 27.2.2 (bit 12: NMI unblocking due to IRET), 27.2.4.
 *
 * Each NMI that arrives becomes pending for the guest, two at most: one to be served and one to wait meanwhile, as in a
 * processor; only one while virtual NMIs are blocked. A pending one is injected if the guest can take it: no blocking by NMI, STI or
 * MOV SS. If it cannot, the hypervisor asks for an exit when it can: the NMI window, or the interrupt window behind an STI,
 * which some processors do not let the NMI window wait for.
 *
 * Two exits need the hypervisor's care for "blocking by NMI":
 *
 *	one during the injection of an NMI (IDT-vectoring information): the NMI has been blocking since its injection began. It
 *	is injected again, and for that the blocking must be taken back.
 *
 *	one by a fault of the handler's IRET, which has unblocked NMIs already (bit 12 of the exit interruption information). The
 *	IRET will be executed again: until then NMIs must be blocked again.
 *
 * Altered by:
 *	KEEP_BLOCKING		the first is injected again with the blocking left on
 *	DROP_VECTORING		the first is forgotten
 *	IGNORE_UNBLOCKING	NMIs stay unblocked after the second
 *	EMULATE_IRET		the second is not executed again, but emulated: NMIs are unblocked then
 *	EMULATE_BLOCKED		so it is, and they are not
 *	INJECT_IN_SHADOW	blocking by STI does not count
 *	INJECT_BEHIND_MOV_SS	neither does blocking by MOV SS
 *	ONE_PENDING		a second pending NMI is the same as the first
 *	ALL_PENDING		there is no limit
 *	TWO_PENDING		two are pending also while NMIs are blocked
 *	NO_KICK			an NMI that arrives in the hypervisor itself becomes pending and no more
 *
 * An NMI that arrives in the hypervisor may be too late for the test of what is pending. Its handler therefore sends an interrupt
 * to this processor: interrupts are off, so it waits, and exits from the guest at once; then all is looked at again.
 *
 * Interrupts from the INTR pin exit only to kick, unless GUEST_INTERRUPTS: then the guest takes them itself.
 *
 * Guest: CPUID asks for as many NMIs as ECX says. Host stack: pt_regs with the guest's registers. Needs a context of asm/kvm/
 * with guest tables, and do_nmi.
 */
#include "include/vmx.h"

#define KICK_VECTOR	0x20

	/* The NMIs that arrive are the guest's, nothing else is. */
#ifndef GUEST_ASKS
	.globl	guest_vectors, guest_vectors_end
	.set	guest_vectors, 2
	.set	guest_vectors_end, 3
#endif

	.text

/* The guest's handlers. */

	.globl	guest_nmi, guest_nmi_end
guest_nmi:
	pushq	%rax
	incl	guest_nmis(%rip)
	cmpl	$0, guest_nmi_asks(%rip)
	je	guest_nmi_over
	movl	$0, guest_nmi_asks(%rip)
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	movl	$2, %ecx
	cpuid
	popq	%rdx
	popq	%rcx
	popq	%rbx
guest_nmi_over:
	popq	%rax
guest_nmi_iret:
	iretq
guest_nmi_end:

	.globl	host_controls
host_controls:
#ifdef GUEST_INTERRUPTS
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_NMIS|PIN_VIRTUAL_NMIS
#else
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_INTERRUPTS|PIN_NMIS|PIN_VIRTUAL_NMIS
#endif
	vmset	PROCESSOR_BASED_CONTROLS, PROCESSOR_ONES
	vmset	EXIT_CONTROLS, EXIT_ONES|EXIT_HOST_64
	vmset	ENTRY_CONTROLS, ENTRY_ONES|ENTRY_IA32E
	vmset	EXCEPTION_BITMAP, 1<<11
	ret

	.globl	vm_exit
vm_exit:
	subq	$PT_SIZE-PT_ORIG_RAX, %rsp
	PUSH_REGS

	/* R12: an NMI's injection was interrupted. */
	xorl	%r12d, %r12d
	vmget	IDT_VECTORING
	testl	%eax, %eax
	jns	nothing_interrupted
	andl	$TYPE_MASK, %eax
	cmpl	$TYPE_NMI, %eax
	jne	nothing_interrupted
#ifndef DROP_VECTORING
	movl	$1, %r12d
#endif
nothing_interrupted:

	vmget	EXIT_REASON
	cmpl	$REASON_EXCEPTION, %eax
	je	exit_exception
	cmpl	$REASON_INTERRUPT, %eax
	je	exit_interrupt
	cmpl	$REASON_INTERRUPT_WINDOW, %eax
	je	enter_guest
	cmpl	$REASON_NMI_WINDOW, %eax
	je	enter_guest
	cmpl	$REASON_CPUID, %eax
	je	exit_cpuid
	cmpl	$REASON_VMCALL, %eax
	je	exit_done

	.globl	vm_abort
vm_abort:
	jmp	vm_abort

exit_exception:
	vmget	EXIT_INTERRUPTION
	movl	%eax, %ecx
	andl	$TYPE_MASK, %eax
	cmpl	$TYPE_NMI, %eax
	je	exit_nmi

	/* #NP, of a segment that the descriptor table does not have yet. */
#ifndef IGNORE_UNBLOCKING
	testl	$NMI_UNBLOCKED, %ecx
	jz	not_by_iret
	vmget	GUEST_INTERRUPTIBILITY
	orl	$BLOCKING_BY_NMI, %eax
	vmput	GUEST_INTERRUPTIBILITY
#if defined(EMULATE_IRET) || defined(EMULATE_BLOCKED)
	vmget	GUEST_RSP
	movq	%rax, %rcx
	movq	(%rcx), %rax
	vmput	GUEST_RIP
	movq	8(%rcx), %rax
	vmput	GUEST_CS_SELECTOR
	movq	16(%rcx), %rax
	vmput	GUEST_RFLAGS
	movq	24(%rcx), %rax
	vmput	GUEST_RSP
	movq	32(%rcx), %rax
	vmput	GUEST_SS_SELECTOR
#ifndef EMULATE_BLOCKED
	vmget	GUEST_INTERRUPTIBILITY
	andl	$~BLOCKING_BY_NMI, %eax
	vmput	GUEST_INTERRUPTIBILITY
#endif
#endif
not_by_iret:
#endif
	vmget	GUEST_GDTR_BASE
	movq	%rax, %rcx
	vmget	EXIT_ERROR_CODE
	andl	$~7, %eax			/* the selector */
	orb	$0x80, 5(%rcx,%rax)		/* present */
	jmp	enter_guest

exit_nmi:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
	movl	$1, %ecx
	call	make_pending
	call	enable_nmis
	jmp	enter_guest

exit_interrupt:
	sti
	nop
	cli
	jmp	enter_guest

exit_cpuid:
	movl	PT_RCX(%rsp), %ecx
	call	make_pending
	vmget	EXIT_LENGTH
	movq	%rax, %rcx
	vmget	GUEST_RIP
	addq	%rcx, %rax
	vmput	GUEST_RIP
	/* The instruction is over, and with it the shadow in which it was executed. */
	vmget	GUEST_INTERRUPTIBILITY
	andl	$~(BLOCKING_BY_STI|BLOCKING_BY_MOV_SS), %eax
	vmput	GUEST_INTERRUPTIBILITY

	.globl	enter_guest
enter_guest:
	testl	%r12d, %r12d
	jz	inject_pending
#ifndef KEEP_BLOCKING
	vmget	GUEST_INTERRUPTIBILITY
	andl	$~BLOCKING_BY_NMI, %eax
	vmput	GUEST_INTERRUPTIBILITY
#endif
	vmset	ENTRY_INTERRUPTION, INTERRUPTION_VALID|TYPE_NMI|2
	jmp	choose_window

inject_pending:
	cmpl	$0, pending_nmis(%rip)
	je	choose_window
	vmget	GUEST_INTERRUPTIBILITY
#if defined(INJECT_BEHIND_MOV_SS)
	testl	$BLOCKING_BY_NMI, %eax
#elif defined(INJECT_IN_SHADOW)
	testl	$BLOCKING_BY_NMI|BLOCKING_BY_MOV_SS, %eax
#else
	testl	$BLOCKING_BY_NMI|BLOCKING_BY_STI|BLOCKING_BY_MOV_SS, %eax
#endif
	jnz	choose_window
	decl	pending_nmis(%rip)
	vmset	ENTRY_INTERRUPTION, INTERRUPTION_VALID|TYPE_NMI|2

choose_window:
	movl	$PROCESSOR_ONES, %ecx
	cmpl	$0, pending_nmis(%rip)
	je	no_window
	orl	$NMI_WINDOW, %ecx
	vmget	GUEST_INTERRUPTIBILITY
	testl	$BLOCKING_BY_STI, %eax
	jz	no_window
	movl	$PROCESSOR_ONES|INTERRUPT_WINDOW, %ecx
no_window:
	movl	%ecx, %eax
	vmput	PROCESSOR_BASED_CONTROLS

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

/* ECX more NMIs are pending for the guest, up to the limit. An NMI may come between and add one. Changes RAX, RDX, RSI and RDI. */
make_pending:
	vmget	GUEST_INTERRUPTIBILITY
	movl	$2, %esi
#if !defined(TWO_PENDING)
	testl	$BLOCKING_BY_NMI, %eax
	jz	with_limit
	movl	$1, %esi
with_limit:
#endif
#if defined(ONE_PENDING)
	movl	$1, %esi
#elif defined(ALL_PENDING)
	movl	$-1, %esi
#endif
	movl	pending_nmis(%rip), %eax
	leal	(%rax,%rcx), %edi
	cmpl	%esi, %edi
	jbe	within_limit
	movl	%esi, %edi
within_limit:
	cmpxchgl %edi, pending_nmis(%rip)
	jne	make_pending
	ret

/* Unblocks NMIs by an IRET to the next instruction. Changes RAX. */
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
	.globl	vmx_nmi_inject_end
vmx_nmi_inject_end:

/* An NMI in the hypervisor itself. NMI stack: hardware frame, orig_rax, the registers. */
	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
	cmpl	$2, pending_nmis(%rip)
	jae	nmi_kick
	incl	pending_nmis(%rip)
nmi_kick:
#ifndef NO_KICK
	movl	$MSR_X2APIC_ICR, %ecx
	xorl	%edx, %edx			/* the APIC ID of this processor */
	movl	$ICR_FIXED|KICK_VECTOR, %eax
	wrmsr
#endif
	POP_REGS
	addq	$8, %rsp
	iretq

	.data
	.balign	8
	/* NMIs that have arrived for the guest and have not been injected. */
pending_nmis:
	.long	0
	.globl	guest_nmis, guest_nmi_asks
	/* The guest's: how many NMIs its handler has served, and whether it asks for two more. */
guest_nmis:
	.long	0
guest_nmi_asks:
	.long	0
