/*
 * Ring 3 code that has given itself a GS base in the upper half (WRGSBASE, which CR4.FSGSBASE allows it) and makes a system
 * call: in the gap before the entry's SWAPGS the kernel runs with a base that looks like one of its own.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
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
