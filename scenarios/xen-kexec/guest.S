/*
 * The first processor crashes while the second one serves a SYSCALL of its guest, whose RSP points into the guest's own memory:
 * until it has loaded the hypervisor's, whatever is pushed there is the guest's to read and to change.
 */
#include "include/xen.h"

	.section .text.user,"ax",@progbits

	.globl	context_start_1
context_start_1:
	addq	%rdi, %rsi
	syscall
	jmp	context_start_1		/* not reached: the path ends in the hypervisor */

	.text

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

	.globl	context_start
context_start:
	call	kexec_crash

#include "crash_kernel.S"
