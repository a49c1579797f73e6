/*
 * NMI and machine check entry for Xen as its mail of 2012 asks for: "based on the Linux NMI solution", and "crash gracefully
 * when mixes of NMIs and MCEs interrupt each other and trash their exception frames" (seed 000_3ee5579ca9a792d7). No version of
 * Xen had it; it is made from those two sentences. asm/xen_entry.S is what it was to replace.
 *
 * Mended: any number of NMIs within each other, whatever unblocks them, and of machine checks, once MCIP is clear; NMIs and
 * machine checks within each other, as long as no frame is lost; the way out to the guest, which is always an IRET.
 * Panics: exactly where a frame is overwritten that is still needed (asm/include/xen_ist_entry.S): no loss that the scenarios
 * could bring about goes unnoticed, and no panic comes without one.
 * Not to be helped, nor to be noticed: a machine check while MCIP is set, which shuts the processor down; and an NMI that SMM code
 * itself lets in by an IRET, which goes to the firmware.
 *
 * Macros, each of which shows what a test is for:
 *	LOST_FRAMES_IGNORED	No panic: whatever follows from the loss follows.
 *	OTHER_STACK_IGNORED	A nested event looks only at what it has interrupted itself, as in Linux.
 *
 * Needed from outside: zeroed IST stacks, one page each, that of NMIs right above that of machine checks.
 */
#include "include/xen.h"
#include "include/xen_frame.S"
#include "include/xen_ist_entry.S"

	.text

	IST_ENTRY nmi, TRAP_nmi, do_nmi, machine_check, -PAGE_SIZE
	IST_ENTRY machine_check, TRAP_machine_check, do_machine_check, nmi, PAGE_SIZE

/* This NMI or machine check has been delivered over a frame that is still needed: what it belonged to cannot go on. */
ist_frame_lost:
	call	fatal_trap

/* With cpu_user_regs of the guest at RSP: straight to the IRET. What waits to be done is announced by an interrupt. */
ist_exit_to_guest:
	GET_PERCPU %rax
	cmpl	$0, softirq_pending(%rax)
	je	restore_all_guest
	movl	$MSR_X2APIC_SELF_IPI, %ecx
	movl	$EVENT_CHECK_VECTOR, %eax
	xorl	%edx, %edx
	wrmsr
	jmp	restore_all_guest

#include "include/xen_exit.S"
#include "include/xen_nmi_state.S"
#include "include/xen_machine_check.S"
#include "include/xen_event_check.S"
