/*
 * Context: as "ldtss", and a second processor, on which another thread of the process takes the LDT entry away, as modify_ldt did
 * up to 4.1: in place, without waiting for the processors that use it. From then on an IRET to the first thread faults. It gets a
 * signal then, and goes on at signal_handler, with an SS that is there.
 */
#include "contexts/ldtss.S"

	.section .text.user,"ax",@progbits

	.globl	signal_handler
signal_handler:
	jmp	context_end

	.text

	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	movq	$0, ldt
context_end_1:
	jmp	context_end_1
