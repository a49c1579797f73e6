/*
 * The first processor runs an HVM guest while the second one is started, which then runs a PV guest: up to the SYSCALL of
 * that one, whose RSP points into its own memory until the hypervisor has loaded another.
 */
#include "include/xen.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	call	hvm_context
context_end:
	jmp	context_end

	.globl	context_start_1
context_start_1:
	call	copy_idt
	pushq	$FLAT_RING3_SS64
	movabsq	$guest_stack, %rax
	pushq	%rax
	pushfq
	pushq	$FLAT_RING3_CS64
	movabsq	$guest, %rax
	pushq	%rax
	iretq

	.globl	lstar_enter
	.globl	context_end_1
lstar_enter:
	movabsq	%rax, stack_bottom+STACK_SIZE-8
	movq	%rsp, %rax
	movabsq	$stack_bottom+STACK_SIZE-8, %rsp
	pushq	%rax
	movq	8(%rsp), %rax
context_end_1:
	jmp	context_end_1

	.section .text.user,"ax",@progbits
guest:
	syscall
	jmp	guest			/* not reached: the path ends in the hypervisor */

	.section .data.user,"aw",@progbits
	.balign	16
	.skip	1024
guest_stack:
	.quad	0
