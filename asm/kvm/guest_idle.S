/* A guest that goes idle. */
#include "kvm/guest.S"

	guest_setup
	guest_tables
	guest_gate 2, guest_nmi, 1
	guest_gate 0x20, interrupt_0x20
	guest_launch

guest:
	addq	%rdi, %rsi
	call	cpu_idle
	movq	%r13, %r14
guest_end:
	vmcall

	guest_data
