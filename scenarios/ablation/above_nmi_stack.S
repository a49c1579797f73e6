/*
 * Context: ring 0 code whose RSP lies above the NMI stack, with DF set, as a backward copy on the debug stack has it. All that tells an
 * NMI here from a nested one at the exit of the handler is that RSP is in no NMI stack.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movq	%rsp, %rbx
	movabsq	$nmi_stack_top + EXCEPTION_STKSZ - 64, %rsp
	std
	addq	%rdi, %rsi
	cld
	movq	%rbx, %rsp
context_end:
	jmp	context_end
