/*
 * The hypervisor with IBRS set, its exit to a guest, a piece of code that runs with the guest's IA32_SPEC_CTRL (the last
 * instructions before the return to it), and the entry from it.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movl	$SPEC_CTRL_IBRS, %eax
	xorl	%edx, %edx
	wrmsr
hypervisor:
	pushq	%rbx
	movl	$1, %edx
	call	exit_to_guest
late_exit:
	addq	%rdi, %rsi
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	rdmsr
	movl	%eax, %r12d			/* what the guest would run with */
	call	enter_from_guest
	popq	%r13
context_end:
	jmp	context_end
