/*
 * Context: ring 0 code whose RSP lies at the bounds of the NMI stack: one word below it, at its lowest byte, at its top, and one word
 * above. It pushes nothing there. The lowest byte is the top of the stack below, where the handler of a double fault would start; the
 * top is where the first word of the stack above lies. With DF clear.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movq	%rsp, %rbx
	movabsq	$nmi_stack_top - EXCEPTION_STKSZ - 8, %rsp
	movabsq	$nmi_stack_top - EXCEPTION_STKSZ, %rsp
at_base:
	movabsq	$nmi_stack_top, %rsp
at_top:
	movabsq	$nmi_stack_top + 8, %rsp
beyond_top:
	movq	%rbx, %rsp
context_end:
	jmp	context_end
