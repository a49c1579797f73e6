/*
 * A 32-bit program with a 16-bit stack segment in an LDT that another thread takes away before the kernel can return to it. It
 * is part of the code under test, for it is not given back (context end-of-process.S).
 */
#include "entry.S"
#include "ldt.S"

	.text

	.globl	start_process
start_process:
	load_ldt
	xorb	$DESCRIPTOR_PRESENT, ldt_stack+DESCRIPTOR_TYPE(%rip)
	pushq	$LDT_STACK
	movl	$0x82401230, %eax
	pushq	%rax
	pushq	$0x202
	pushq	$__USER32_CS
	pushq	$0x400000
	pushq	$-1
	PUSH_REGS
	jmp	return_to_user

	define_ldt
