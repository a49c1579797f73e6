/*
 * Xen started with NMIs latched, as by tboot, which had taken one and never returned from it; up to the patching of alternatives,
 * for which Xen waits until an NMI that it sends to itself has come.
 *
 * Source: 072e054359 (races.md X-15), which lets each processor unblock NMIs as one of the first things it does.
 *
 * The context jumps to tboot. BOOT_LATCHED: Xen takes the latch as it finds it.
 */
#include "include/xen.h"
#include "include/xen_frame.S"
#include "include/xen_ist_handler.S"
#include "include/x2apic_self_nmi.S"

	.text

/* tboot: its last NMI, which it leaves by a jump to what it has loaded. */
	.globl	tboot
tboot:
	movl	$0, booting(%rip)
	call	self_nmi
	ud2

	ist_handler	nmi, TRAP_nmi, do_nmi

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	cmpl	$0, booting(%rip)
	je	.Lleave_tboot
	/* The code is patched here, where no other NMI can find it half done. */
	movl	$1, alternatives_done(%rip)
	ret
.Lleave_tboot:
	movabsq	$stack_bottom, %rsp
	jmp	__start_xen
do_nmi_end:

	.globl	__start_xen
__start_xen:
	movl	$1, booting(%rip)
#ifndef BOOT_LATCHED
	call	enable_nmis
#endif

	.globl	alternative_instructions
alternative_instructions:
	call	self_nmi
.Lwait_for_nmi:
	pause
	cmpl	$0, alternatives_done(%rip)
	je	.Lwait_for_nmi
	jmp	context_end

self_nmi:
	X2APIC_SELF_NMI
	ret

#include "include/xen_enable_nmis.S"

	.data
	.balign	8
booting:
	.long	0
alternatives_done:
	.long	0
