/*
 * A guest that halts behind a stretch with interrupts off: what arrives there must wake it. Without an interrupt it sleeps for
 * good, and rightly.
 */
#include "kvm/guest.S"

	guest_setup
	guest_launch

guest:
	addq	%rdi, %rsi
	cli
masked:
	leaq	(%rbx,%rcx), %r10
	sti
unmasked:
	hlt
woken:
	adcq	%r13, %r14
guest_end:
	vmcall

	guest_data
