/* Ring 0 with a null SS, as an interrupt from ring 3 through the IDT has left it before FRED was turned on. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	xorl	%eax, %eax
	movl	%eax, %ss
null_ss:
	pushq	%rbx
	addq	%rdi, %rsi
	movq	%rdx, %r8
	adcq	%rbp, %r10
	popq	%r13
context_end:
	jmp	context_end
