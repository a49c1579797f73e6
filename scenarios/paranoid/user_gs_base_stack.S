/*
 * Ring 0 writes the GS base of this CPU to the lowest word of the #MC stack (the debug stack lies between that and the NMI stack), and
 * goes to ring 3: code that has given itself a GS base in the upper half and makes a system call.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	rdgsbase %rax
	movabsq	$nmi_stack_top + EXCEPTION_STKSZ, %rcx
	movq	%rax, (%rcx)
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
	movabsq	$0xffff800000000000, %rbx
	wrgsbase %rbx
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	movq	%rsi, %r12
	syscall
after_syscall:
	adcq	%rbp, %r10
	rdgsbase %r13
context_end:
	jmp	context_end
