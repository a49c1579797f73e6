/*
 * Context: ring 0 code before the first NMI, with an NMI stack that has never been zeroed: each 32-bit word of it is 1.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movabsq	$nmi_stack_top - EXCEPTION_STKSZ, %rdi
	movabsq	$0x0000000100000001, %rax
	movl	$EXCEPTION_STKSZ / 8, %ecx
	rep stosq
stack_filled:
	xorl	%eax, %eax
	movl	$2, %edi
context_end:
	jmp	context_end
