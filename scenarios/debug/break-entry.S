/*
 * Context: a breakpoint on the first instruction of the SYSCALL entry, and a program that makes a system call.
 */
#include "entry.S"

	.text

	.globl	context_start, context_end
context_start:
	leaq	entry_SYSCALL_64(%rip), %rax
	movq	%rax, %dr0
	movl	$0x402, %eax
	movq	%rax, %dr7
	pushq	$__USER_DS
	pushq	$user_stack_top
	pushq	$0x202
	pushq	$__USER_CS
	pushq	$program
	swapgs
	iretq

	.section .text.user,"ax",@progbits
program:
	addq	%rdi, %rsi
	syscall
	notq	%rbx
context_end:
	jmp	context_end

	.section .data.user,"aw",@progbits
	.balign	16
	.skip	0x100
user_stack_top:
	.quad	0
