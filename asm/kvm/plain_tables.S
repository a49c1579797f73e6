/* The guest of plain.S with an IDT and an NMI stack of its own. */
#include "kvm/guest.S"

	guest_setup
	guest_tables
	guest_gate 2, guest_nmi, 1
	guest_launch

guest:
	addq	%rdi, %rsi
	leaq	(%rbx,%rcx), %r10
	adcq	%r13, %r14
guest_end:
	vmcall

	guest_data
