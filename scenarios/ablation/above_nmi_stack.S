/*
 * Context: ring 0 code whose RSP lies above the NMI stack, with DF set, as a backward copy on the debug stack has it. All that tells an
 * NMI here from a nested one at the exit of the handler is that RSP is in no NMI stack. And with EBX = 0, which in the handler means
 * "exchange GS".
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	xorl	%ebx, %ebx
	movq	%rsp, %rbp
	movabsq	$nmi_stack_top + EXCEPTION_STKSZ - 64, %rsp
	std
	addq	%rdi, %rsi
	movabsq	$nmi_stack_top + 8, %rsp
	cld
	movq	%rbp, %rsp
context_end:
	jmp	context_end
