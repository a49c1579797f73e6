/*
 * A guest that exits in a shadow: the instruction behind an STI, and behind a MOV SS, faults, because its hypervisor has not filled
 * in the descriptor yet. The exit saves blocking by STI or by MOV SS, and the instruction is executed again.
 */
#include "kvm/guest.S"

#define LAZY_FS		0x20
#define LAZY_ES		0x28

	guest_setup
	guest_tables
	guest_gate 2, guest_nmi, 1
	leaq	guest_gdt(%rip), %rax
	vmput	GUEST_GDTR_BASE
	vmset	GUEST_GDTR_LIMIT, 6*8-1
	guest_launch

guest:
	movl	$LAZY_FS, %eax
	movl	$LAZY_ES, %ebx
	movl	$__KERNEL_DS, %ecx
	cli
	sti
behind_sti:
	movw	%ax, %fs
	addq	%rdi, %rsi
	movw	%cx, %ss
behind_mov_ss:
	movw	%bx, %es
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
	.quad	DATA_SEGMENT ^ SEGMENT_PRESENT
	.quad	DATA_SEGMENT ^ SEGMENT_PRESENT
