/*
 * A guest that steps itself by TF: through an STI, whose single step comes in its shadow, through an INT1 behind a MOV SS, and
 * through an instruction that its hypervisor emulates. It counts the steps, and stops in an endless loop if one is missing.
 */
#include "kvm/guest.S"

	guest_setup
	guest_tables
	guest_gate 1, guest_debug, 1
	guest_launch

guest:
	movl	$__KERNEL_DS, %ecx
	pushfq
	orl	$RFLAGS_TF, (%rsp)
	popfq
	nop				/* 1 */
	cli				/* 2 */
	sti				/* 3: in its own shadow */
behind_sti:
	movw	%cx, %ss			/* no single step: it is deferred, and the INT1 takes its place */
behind_mov_ss:
	int1				/* 4 */
	cpuid				/* 5: the hypervisor's to make */
behind_cpuid:
	pushfq				/* 6 */
	andl	$~RFLAGS_TF, (%rsp)	/* 7 */
	popfq				/* 8: stepped as it was begun */
stepped:
	cmpl	$8, guest_traps(%rip)
	jne	wrong_number
guest_end:
	vmcall

wrong_number:
	jmp	wrong_number

	guest_data
