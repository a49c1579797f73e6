/*
 * Ring 0 turns PCIDs on and goes to ring 3, whose page tables have a PCID of their own: CR3 has bits 12 and 11 set there. Then a system
 * call and its return.
 */
#include "include/linux.h"

	.section .entry.text,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	leaq	user_code, %rcx
	movq	%cr4, %rax
	orq	$0x20000, %rax
	movq	%rax, %cr4
	movabsq	$0x7fffffffef00, %rsp
	movl	$0x202, %r11d
	movq	%cr3, %rax
	orq	$0x1800, %rax
	movq	%rax, %cr3
	swapgs
	sysretq

	.section .text.user,"ax",@progbits
user_code:
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	pushq	%rbx
	syscall
after_syscall:
	adcq	%rbp, %r10
	popq	%r13
context_end:
	jmp	context_end
