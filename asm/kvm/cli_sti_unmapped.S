/*
 * The guest of cli_sti.S under shadow paging: its stack is not mapped yet in the page tables that the hypervisor has made for it.
 * Its own code does not touch the stack; the delivery of an interrupt does, and exits with a page fault half-way.
 *
 * The page tables without the stack are those that the linux platform has for user mode with isolation (`pti`): code of the
 * guest lies in a section that they map, the descriptor tables are mapped as well. The host's own page tables have all.
 */
#include "kvm/guest.S"

#define UNMAPPED_CR3	0x1a0b000

	.globl	pti
	.set	pti, 1

	guest_setup
	vmset	GUEST_CR3, UNMAPPED_CR3
	guest_launch

	.section .entry.text,"ax",@progbits
guest:
	movl	$7, %ebx
	addq	%rdi, %rsi
	cli
masked:
	movq	%rbx, %r8
	sti
unmasked:
	movq	%r8, %r9
	adcq	%r9, %r10
	sti
unmasked_again:
	nop
guest_end:
	vmcall

	guest_data
