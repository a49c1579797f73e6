/*
 * A guest with a short stretch between CLI and STI (seed 003_6dfab787138e46ef). The STI at its end lets everything in that
 * still waits, also when somebody else has cleared its IF. The carry is live from the ADD to the ADC.
 */
#include "kvm/guest.S"

	guest_setup
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
