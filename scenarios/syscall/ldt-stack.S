/*
 * Context: a 32-bit program whose stack segment, in an LDT, has 16 bits. An interrupt that has come while the kernel started it
 * waits for its first instruction, and the context ends there (that is not executed: the machine has no 32-bit code).
 *
 * The kernel starts it on the small stack of espfix.S, so that RSP[31:16] is the program's own.
 */
#include "ldt.S"

	.text

	.globl	context_start, context_end
context_start:
	cli
starting:
	load_ldt
	leaq	espfix_stack(%rip), %rsi
	movl	%esi, %edi
	orl	$0x1230, %edi
	movq	$context_end, (%rsi)
	movq	$__USER32_CS, 8(%rsi)
	movq	$0x202, 16(%rsi)
	movq	%rdi, 24(%rsi)
	movq	$LDT_STACK, 32(%rsi)
	movq	%rsi, %rsp
	swapgs
starting_iret:
	iretq
started:

	.section .text.user,"ax",@progbits
context_end:
	jmp	context_end

	define_ldt
