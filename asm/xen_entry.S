/*
 * NMI and machine check entry of Xen as they were in 2012 (4.2), and the ways out that they share with all others.
 *
 * Sources: "Woes of NMIs and MCEs, and possibly how to fix" (seed 000_3ee5579ca9a792d7), whose nine issues this file is for;
 * d463b005bb, which mends the ninth.
 *
 * Both vectors have a stack of their own. From the hypervisor the handler stays on it; from the guest it moves what it has
 * saved to the bottom of the primary stack, where the guest's registers belong, and goes on there. The stack pages:
 *
 *	top-8  SS	\
 *	top-16 RSP	 |
 *	top-24 RFLAGS	 | hardware frame
 *	top-32 CS	 |
 *	top-40 RIP	/
 *	top-44 vector
 *	top-48 error code
 *	top-56 rdi ... top-168 r15	cpu_user_regs begins here
 *
 * Nothing guards a frame. What is delivered to the same stack while one is in use overwrites it, and the registers below it:
 *	- a second NMI, once something has unblocked NMIs: the IRET of a fault in the handler (1), a fault in a machine check or
 *	  its IRET (2), an IRET in SMM (3), or because the first one was no NMI (4, 6);
 *	- a second machine check, once MCIP is clear (7), or because the first one was none (5, 6).
 * What was interrupted in the hypervisor is lost then, and the handler returns into itself. What was interrupted in the guest
 * is safe from the copy on; within the copy it can come to the guest's RIP with the hypervisor's CS.
 *
 * Macros:
 *	NMI_SKIPS_EVENTS	An NMI from the guest goes straight to the IRET (d463b005bb). Without it the way out looks for
 *				softirqs, which may end in another vCPU's SYSRET, and no IRET ever unblocks NMIs (9). What the
 *				look would have found, an interrupt to oneself finds.
 *	NO_SELF_IPI		… but there is none: softirqs wait for whatever comes next.
 *	SELF_IPI_FROM_XEN	An NMI that has interrupted the hypervisor sends it too: the look may have been over.
 *	MC_LEAVES_IST		A machine check moves what it has saved from the hypervisor to the stack that has been interrupted,
 *				while MCIP still keeps others off. That trusts the RSP that it finds: between the guest's SYSCALL and
 *				the load of Xen's it is the guest's.
 */
#include "include/xen.h"
#include "include/xen_frame.S"

	.text

	.globl	nmi
nmi:
	pushq	$0
	movl	$TRAP_nmi, 4(%rsp)

handle_ist_exception:
	SAVE_ALL
	testb	$3, UREGS_cs(%rsp)
	jz	.Lon_ist_stack

	/*
	 * The guest's. Xen's own stack is empty, and holds the registers of a guest while the hypervisor runs. An event may come
	 * between any two words of the copy.
	 */
	GET_STACK_END(%rdi)
	leaq	STACK_CPUINFO_FIELD(CPUINFO_guest_cpu_user_regs)(%rdi), %rdi
	movq	%rsp, %rsi
	movl	$UREGS_kernel_sizeof/8, %ecx
	movq	%rdi, %rsp
	rep movsq
ist_stack_free:
.Lon_ist_stack:
	movq	%rsp, %rdi
	cmpb	$TRAP_nmi, UREGS_entry_vector(%rsp)
	jne	ist_machine_check
	call	do_nmi
nmi_done:
#ifdef NMI_SKIPS_EVENTS
#ifndef NO_SELF_IPI
#ifndef SELF_IPI_FROM_XEN
	testb	$3, UREGS_cs(%rsp)
	jz	restore_all_xen
#endif
	GET_PERCPU %rax
	cmpl	$0, softirq_pending(%rax)
	je	.Lno_softirq
	movl	$MSR_X2APIC_SELF_IPI, %ecx
	movl	$EVENT_CHECK_VECTOR, %eax
	xorl	%edx, %edx
	wrmsr
.Lno_softirq:
#endif
	testb	$3, UREGS_cs(%rsp)
	jz	restore_all_xen
	jmp	restore_all_guest
#else
	jmp	ret_from_intr
#endif

ist_machine_check:
#ifdef MC_LEAVES_IST
	testb	$3, UREGS_cs(%rsp)
	jnz	.Lmc_off_ist
	movq	UREGS_rsp(%rsp), %rdi
	subq	$UREGS_kernel_sizeof, %rdi
	movq	%rsp, %rsi
	movl	$UREGS_kernel_sizeof/8, %ecx
	movq	%rdi, %rsp
	rep movsq
	movq	%rsp, %rdi
.Lmc_off_ist:
#endif
	call	do_machine_check
	jmp	ret_from_intr

	.globl	machine_check
machine_check:
	pushq	$0
	movl	$TRAP_machine_check, 4(%rsp)
	jmp	handle_ist_exception

#include "include/xen_exit.S"
#include "include/xen_machine_check.S"
#include "include/xen_event_check.S"
