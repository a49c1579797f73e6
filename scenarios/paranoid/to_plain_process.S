/* The kernel switches from a process with isolation to one without, and goes to ring 3. */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movabsq	$cpu_tss + 4, %rax		/* RSP0: the trampoline stack, as that process had it */
	movabsq	$cpu_tss, %rcx
	movq	%rcx, (%rax)
	call	switch_to_plain
	swapgs
	pushq	$__USER_DS
	movabsq	$0x7fffffffef00, %rax
	pushq	%rax
	pushq	$0x202
	pushq	$__USER_CS
	leaq	user_code, %rax
	pushq	%rax
	iretq

	.section .text.user,"ax",@progbits
user_code:
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	pushq	%rbx
	movq	%rdx, %r8
	adcq	%rbp, %r10
	popq	%r13
context_end:
	jmp	context_end
