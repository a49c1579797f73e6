/*
 * Ring 3 code with a stack segment of its own (selector 0x53): ring 0 loads a GDT that has it and goes there by ERETU.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	lgdt	gdt_pointer(%rip)
	subq	$16, %rsp			/* what the frame holds above SS */
	pushq	$0x53
	movabsq	$0x7fffffffef00, %rax
	pushq	%rax
	pushq	$0x202
	pushq	$__USER_CS
	leaq	user_code, %rax
	pushq	%rax
	pushq	$0
	eretu

	.section .text.user,"ax",@progbits
user_code:
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	pushq	%rbx
	movl	%ss, %r8d
	adcq	%rbp, %r10
	popq	%r13
context_end:
	jmp	context_end
