/*
 * A guest whose code segments are not present until they are used: its hypervisor keeps the descriptor table, as with shadow
 * paging the page tables, and fills it in when the guest faults. The code runs in segment 0x20, to which the IRET of a handler
 * returns; the NMI handler in 0x28. So the injection of the first NMI exits half-way, and so does the first IRET.
 */
#include "kvm/guest.S"

#define CODE_CS		0x20
#define NMI_CS		0x28

	guest_setup
	guest_tables
	guest_gate 2, guest_nmi, 1, NMI_CS
	leaq	guest_gdt(%rip), %rax
	vmput	GUEST_GDTR_BASE
	vmset	GUEST_GDTR_LIMIT, 6*8-1
	vmset	GUEST_CS_SELECTOR, CODE_CS
	guest_launch

guest:
	addq	%rdi, %rsi
	leaq	(%rbx,%rcx), %r10
	adcq	%r13, %r14
guest_end:
	vmcall

	guest_data

	.data
	.balign	8
guest_gdt:
	.quad	0
	.quad	0
	.quad	CODE_SEGMENT
	.quad	DATA_SEGMENT
	.quad	CODE_SEGMENT ^ SEGMENT_PRESENT
	.quad	CODE_SEGMENT ^ SEGMENT_PRESENT
