/*
 * Context "syscall": a system call of ring 3 code whose RSP points into the NMI stack, with DF set, and the return from it.
 *
 * The kernel's part is the image's, or the platform's default, which returns at once. Without FRED, SYSCALL loads neither RSP
 * nor GS: the kernel runs with a stack pointer that the user chose until it has loaded its own (context "syscall-gap"). With
 * FRED it is an event from ring 3 like any other: the processor has switched everything before the first instruction.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movq	%rsp, %r12
	addq	%rdi, %rsi			/* the carry is live up to the ADC */
	movabsq	$nmi_stack_top-104, %rsp	/* T-56 */
	std
	syscall
after_syscall:
	cld
	adcq	%rbp, %r10
	movq	%r12, %rsp
	popq	%r13
context_end:
	jmp	context_end
