/*
 * Context "ldtss": ring 3 code whose SS is in the LDT, a 16-bit segment, for a while.
 *
 * Any process may have such segments (modify_ldt), and another thread of it may take them away while this one uses them. A handler
 * returns here by an IRET that loads SS from the LDT. The code itself is 64-bit code, which does not look at what SS is.
 */
/* What another platform calls ring 3's stack segment, it says before it includes this. */
#ifndef RING3_SS
#include "../include/linux.h"
#define RING3_SS	__USER_DS
#endif

/* Entry 0 of the LDT, RPL 3. */
#define LDT_SS		0x7

	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movl	$LDT_SS, %eax
	movl	%eax, %ss
	addq	%rdi, %rsi		/* the carry is live up to the ADC */
	leaq	(%rcx,%rdx), %r9
	adcq	%rbp, %r10
	movl	$RING3_SS, %eax
	movl	%eax, %ss
	popq	%r13
context_end:
	jmp	context_end

	.data
	.balign	8
	.globl	ldt
	.type	ldt, @object
ldt:
	.quad	0x000ff3000000ffff	/* data, writable, DPL 3, 16 bits, base 0, 1 MiB */
	.size	ldt, .-ldt
