/*
 * A guest that asks its hypervisor for one, two and three NMIs at once, and counts: a processor serves one and has one wait, so
 * it must get one, two and two. If not, it stops in an endless loop. The last request comes from its NMI handler: NMIs are
 * blocked, so of two only one can wait.
 */
#include "kvm/guest.S"

	.macro	expect number
	cmpl	$\number, guest_nmis(%rip)
	jne	wrong_number
	.endm

	guest_setup
	guest_tables
	guest_gate 2, guest_nmi, 1
	guest_launch

guest:
	movl	$1, %ecx
	cpuid
	nop
	expect	1
ask_for_two:
	movl	$2, %ecx
	cpuid
	nop
	expect	3
ask_for_three:
	movl	$3, %ecx
	cpuid
	nop
	expect	5
ask_in_handler:
	movl	$1, guest_nmi_asks(%rip)
	movl	$1, %ecx
	cpuid
	nop
	expect	7
guest_end:
	vmcall

wrong_number:
	jmp	wrong_number

	guest_data
