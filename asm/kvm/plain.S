/* A guest that lets everything in all the time. The carry is live from the ADD to the ADC. */
#include "kvm/guest.S"

	guest_setup
	guest_launch

guest:
	addq	%rdi, %rsi
	leaq	(%rbx,%rcx), %r10
	adcq	%r13, %r14
guest_end:
	vmcall

	guest_data
