/*
 * A hypervisor whose guest has another SPEC_CTRL than the host, and another TSC_AUX: registers that a VM exit does not switch by
 * itself.
 *
 * Sources: Xen 81f0eaadf8 (2022): the exit path took it that NMIs are blocked after each exit; they are after one because of an NMI only;
 * Linux 6a3ea3e68b8a (2020): the NMI entry found its CPU number in TSC_AUX; SDM vol. 3, 24.7.2, 24.8.2 (lists of MSRs), 27.5.5.
 *
 * The NMI entry sets SPEC_CTRL to the host's value, whatever it was, and leaves it so: it has interrupted the host. And it asks TSC_AUX
 * for the number of this CPU, to find its per-CPU area.
 *
 *	default			the processor switches both within the exit and the entry, by lists of MSRs: no NMI comes between
 *	SPEC_CTRL_BY_HAND	the exit path stores the guest's SPEC_CTRL by RDMSR and loads the host's by WRMSR, the entry path loads
 *				the guest's
 *	TSC_AUX_BY_HAND		the exit path loads the host's TSC_AUX, the entry path the guest's
 *
 * NMI stack: hardware frame, orig_rax, the registers. Host stack: the guest's registers. Needs a context of asm/kvm/.
 */
#include "include/vmx.h"

#define MSR_SPEC_CTRL		0x48
#define MSR_TSC_AUX		0xc0000103
#define HOST_SPEC_CTRL		1		/* IBRS */
#define GUEST_SPEC_CTRL		4		/* SSBD */
#define GUEST_TSC_AUX		1
#if defined(SPEC_CTRL_BY_HAND) || defined(TSC_AUX_BY_HAND)
#define LISTED			1
#else
#define LISTED			2
#endif

	/* EAX into an MSR. Changes ECX and EDX. */
	.macro	set_msr msr
	movl	$\msr, %ecx
	xorl	%edx, %edx
	wrmsr
	.endm

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	rdgsbase %r14
	rdpid	%rax
	shlq	$18, %rax			/* the areas are 256 KiB apart */
	addq	cpu_areas(%rip), %rax
	wrgsbase %rax
	movl	$HOST_SPEC_CTRL, %eax
	set_msr	MSR_SPEC_CTRL
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
	wrgsbase %r14
	POP_REGS
	addq	$8, %rsp
	iretq

/* The host's: interrupts only exit here. */
	.globl	interrupt_0x20
interrupt_0x20:
	iretq

	.globl	host_controls
host_controls:
	vmset	PIN_BASED_CONTROLS, PIN_ONES|PIN_INTERRUPTS|PIN_NMIS|PIN_VIRTUAL_NMIS
	vmset	PROCESSOR_BASED_CONTROLS, PROCESSOR_ONES
	vmset	EXIT_CONTROLS, EXIT_ONES|EXIT_HOST_64
	vmset	ENTRY_CONTROLS, ENTRY_ONES|ENTRY_IA32E
	rdgsbase %rax
	movq	%rax, cpu_areas(%rip)
	leaq	guest_msrs(%rip), %rax
	subq	$IMAGE_OFFSET, %rax
	vmput	EXIT_MSR_STORE_ADDRESS
	vmput	ENTRY_MSR_LOAD_ADDRESS
	leaq	host_msrs(%rip), %rax
	subq	$IMAGE_OFFSET, %rax
	vmput	EXIT_MSR_LOAD_ADDRESS
	vmset	EXIT_MSR_STORE_COUNT, LISTED
	vmput	ENTRY_MSR_LOAD_COUNT
	vmput	EXIT_MSR_LOAD_COUNT
	movl	$HOST_SPEC_CTRL, %eax
#ifdef SPEC_CTRL_BY_HAND
	movl	$GUEST_SPEC_CTRL, %eax
#endif
	set_msr	MSR_SPEC_CTRL
#ifdef TSC_AUX_BY_HAND
	movl	$GUEST_TSC_AUX, %eax
	set_msr	MSR_TSC_AUX
#endif
	ret

	.globl	vm_exit
vm_exit:
	PUSH_REGS
#ifdef SPEC_CTRL_BY_HAND
	movl	$MSR_SPEC_CTRL, %ecx
	rdmsr
	movl	%eax, guest_spec_ctrl(%rip)
	movl	$HOST_SPEC_CTRL, %eax
	xorl	%edx, %edx
	wrmsr
#endif
host_msrs_loaded:
#ifdef TSC_AUX_BY_HAND
	xorl	%eax, %eax
	set_msr	MSR_TSC_AUX
host_tsc_aux_loaded:
#endif
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
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
	movq	%rsp, %rax
	pushq	$__KERNEL_DS
	pushq	%rax
	pushfq
	pushq	$__KERNEL_CS
	leaq	exit_interrupt(%rip), %rax
	pushq	%rax
	iretq

exit_interrupt:
	sti
	nop
	cli

enter_guest:
#ifdef TSC_AUX_BY_HAND
	movl	$GUEST_TSC_AUX, %eax
	set_msr	MSR_TSC_AUX
guest_tsc_aux_loaded:
#endif
#ifdef SPEC_CTRL_BY_HAND
	movl	guest_spec_ctrl(%rip), %eax
	set_msr	MSR_SPEC_CTRL
#endif
guest_msrs_loaded:
	POP_REGS
	.globl	resume_guest
resume_guest:
	vmresume
	jmp	vm_abort

exit_done:
	POP_REGS
	jmp	vmx_done

	.data
	.balign	16
guest_msrs:
#ifndef SPEC_CTRL_BY_HAND
	.quad	MSR_SPEC_CTRL, GUEST_SPEC_CTRL
#endif
#ifndef TSC_AUX_BY_HAND
	.quad	MSR_TSC_AUX, GUEST_TSC_AUX
#endif
host_msrs:
#ifndef SPEC_CTRL_BY_HAND
	.quad	MSR_SPEC_CTRL, HOST_SPEC_CTRL
#endif
#ifndef TSC_AUX_BY_HAND
	.quad	MSR_TSC_AUX, 0
#endif
guest_spec_ctrl:
	.long	0
	.balign	8
	/* The per-CPU area of CPU 0. */
cpu_areas:
	.quad	0
