/*
 * The guest of cli_sti.S with interrupt gates that are not present until the first interrupt: the handler of the #NP that its
 * delivery raises, among the guest's handlers in kvm_inject.S, makes them present.
 */
#include "kvm/guest.S"

	.macro	mark_absent vector
	andb	$0x7f, %gs:guest_idt+16*\vector+5
	.endm

	guest_setup
	guest_tables
	guest_gate 11, guest_segment_not_present
	guest_gate 0x20, interrupt_0x20
	guest_gate 0x21, interrupt_0x21
	mark_absent 0x20
	mark_absent 0x21
	guest_launch

guest:
	movl	$7, %ebx
	addq	%rdi, %rsi
	cli
masked:
	movq	%rbx, %r8
	sti
unmasked:
	movq	%r8, %r9
	adcq	%r9, %r10
	sti
unmasked_again:
	nop
guest_end:
	vmcall

	guest_data
