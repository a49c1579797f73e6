/*
 * The way of a device's interrupt in Xen: pin of the I/O APIC, redirection entry, message to the local APIC, IDT, handler, EOI.
 *
 * Source: the seed 004_1af19ab8c4618932; the registers are those of the 82093AA and of the SDM's chapter on the APIC.
 *
 *	pin 4	vector 0x30	a device that notes in memory that it has something (device_status_4), then raises its line
 *	pin 5	vector 0x50	a device whose interrupts are more urgent
 *
 * The device at pin 4 raises its line once for whatever it has; nobody looks at its note but the handler. So an interrupt
 * that gets lost leaves the processor asleep with work to do.
 *
 * The action of a device runs with interrupts enabled. What keeps it from being entered again is the local APIC: it holds
 * back what is not more urgent than the interrupt in service, which lasts until the EOI. Hence one EOI for each interrupt, behind
 * the action.
 *
 * Primary stack, from RSP0 or from where the hypervisor was: SS, RSP, RFLAGS, CS, RIP, vector and error code, rdi … r15.
 *
 * Variants:
 *	LEVEL		both pins are level-triggered: the line stays up until the EOI, and the I/O APIC looks at it again
 *	NO_EOI		the interrupt stays in service: nothing of its priority ever comes again
 *	EOI_FIRST	the action can be interrupted by the next one of its own
 *	EOI_TWICE	the second EOI ends the service of the interrupt below, whose action still runs
 */
#include "include/xen.h"
#include "include/xen_frame.S"

#define VECTOR_4		0x30
#define VECTOR_5		0x50

/* The I/O APIC: index and data register, redirection entries of two registers each, trigger mode and mask. */
#define IO_WINDOW		0x10
#define REDIRECTION(pin)	(0x10 + 2 * (pin))
#define IOREDTBL_LEVEL		(1 << 15)
#define IOREDTBL_MASKED		(1 << 16)

#ifdef LEVEL
#define TRIGGER			IOREDTBL_LEVEL
#else
#define TRIGGER			0
#endif

	.macro	io_apic_write register, value
	movl	$\register, (%rax)
	movl	$\value, IO_WINDOW(%rax)
	.endm

	.macro	end_of_interrupt
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	.endm

	.text

	.globl	interrupt_0x30
interrupt_0x30:
	pushq	$0
	movl	$VECTOR_4, 4(%rsp)
	jmp	irq_common

	.globl	interrupt_0x50
interrupt_0x50:
	pushq	$0
	movl	$VECTOR_5, 4(%rsp)

irq_common:
	SAVE_ALL
	movq	%rsp, %rdi
	call	do_IRQ
	jmp	ret_from_intr

	.globl	do_IRQ, do_IRQ_end
do_IRQ:
#ifdef EOI_FIRST
	end_of_interrupt
#endif
	movzbl	UREGS_entry_vector(%rdi), %eax
	sti
	cmpl	$VECTOR_4, %eax
	jne	action_5
action_4:
	/* The note first: what the device has from now on, it notes anew. */
	movl	$0, device_status_4(%rip)
	/* A transfer through a static buffer: not written to be entered twice. */
	movl	transfers(%rip), %eax
	incl	%eax
	movl	%eax, transfers(%rip)
	movl	%eax, transfer(%rip)
	cmpl	transfer(%rip), %eax
	jne	fatal_trap
action_5:
	nop
	cli
action_over:
#if !defined(EOI_FIRST) && !defined(NO_EOI)
	end_of_interrupt
#endif
#ifdef EOI_TWICE
	end_of_interrupt
#endif
	ret
do_IRQ_end:

	.globl	fatal_trap
fatal_trap:
	hlt
	jmp	fatal_trap

/* Both pins to the first processor. RAX changes. */
	.globl	setup_io_apic
setup_io_apic:
	movabsq	$io_apic_page, %rax
	io_apic_write (REDIRECTION(4) + 1), 0
	io_apic_write REDIRECTION(4), (VECTOR_4 | TRIGGER)
	io_apic_write (REDIRECTION(5) + 1), 0
	io_apic_write REDIRECTION(5), (VECTOR_5 | TRIGGER)
	ret

	.globl	mask_pin_4
mask_pin_4:
	movabsq	$io_apic_page, %rax
	io_apic_write REDIRECTION(4), (VECTOR_4 | TRIGGER | IOREDTBL_MASKED)
	ret

	.globl	unmask_pin_4
unmask_pin_4:
	movabsq	$io_apic_page, %rax
	io_apic_write REDIRECTION(4), (VECTOR_4 | TRIGGER)
	ret

#include "include/xen_exit.S"

	.data
	.balign	8
	/* The note of the device: work that nobody else knows of. */
	.globl	device_status_4, work_pending
device_status_4:
work_pending:
	.quad	0
transfers:
	.long	0
transfer:
	.long	0

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	softirq_pending
softirq_pending:
	.long	0
	.long	0
