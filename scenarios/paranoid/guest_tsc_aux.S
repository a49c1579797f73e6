/*
 * A hypervisor around a guest's run: the guest's IA32_TSC_AUX is in the register from before the entry until after
 * the exit, when the host's own, the number of the CPU, comes back. The guest's says 1, and this is CPU 0.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movl	$MSR_TSC_AUX, %ecx
	movl	$1, %eax
	xorl	%edx, %edx
	wrmsr
guest:
	addq	%rdi, %rsi
	movq	%rsi, %r12
	adcq	%r13, %r14
	movl	$MSR_TSC_AUX, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
host:
	notq	%r15
	movq	%r15, %rbx
context_end:
	jmp	context_end

/* CPU 1, whose area is the wrong one for CPU 0, has nothing to do. */
	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	notq	%rax
context_end_1:
	jmp	context_end_1
