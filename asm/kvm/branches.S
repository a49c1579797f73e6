/*
 * A guest with two emulated branches (CPUID stands for jmp *%rbx): one to a good address, and one to the lowest address that is not
 * canonical.
 */
#include "kvm/guest.S"

	guest_setup
	guest_tables
	guest_gate 13, guest_general_protection, 1
	guest_launch

guest:
	leaq	good_target(%rip), %rbx
	cpuid
	ud2					/* not reached */
good_target:
	movabsq	$0x0000800000000000, %rbx
bad_branch:
	cpuid
behind_branch:
	incq	%r9
guest_end:
	vmcall

	guest_data

	/* Its #GP handler goes on behind it. */
	.section __ex_table,"a",@progbits
	.quad	bad_branch, behind_branch
