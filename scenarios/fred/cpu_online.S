/* A CPU comes back, and goes to ring 3. */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	call	cpu_online
	call	update_rsp0
	subq	$16, %rsp			/* what the frame holds above SS */
	pushq	$__USER_DS
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
	movq	%rdx, %r8
	adcq	%rbp, %r10
	popq	%r13
context_end:
	jmp	context_end
