/*
 * A guest that executes INT1, once behind a MOV SS, and whose other instructions are of a kind that can be executed from their
 * second byte, too, with another result.
 */
#include "kvm/guest.S"

	guest_setup
	guest_tables
	guest_gate 1, guest_debug, 1
	guest_launch

guest:
	movl	$__KERNEL_DS, %ecx
	incq	%rdi				/* without its REX prefix: of 32 bits */
	incq	%rsi
	int1
behind_int1:
	incq	%r8
	movw	%cx, %ss
	int1
behind_mov_ss:
	incq	%r9
guest_end:
	vmcall

	guest_data
