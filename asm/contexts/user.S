/*
 * Context "user": ring 3 code on the user stack.
 *
 * Two live words on the stack, a carry that stays live over several boundaries, and a stretch with DF set.
 */
	.section .text.user,"ax",@progbits

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbp
	pushq	%r13
	subq	%rcx, %rdx		/* the borrow ... */
	std
	movq	8(%rsp), %r9
	leaq	(%rax,%rsi), %r8
	cld
	jc	.Lborrow		/* ... is used here ... */
	notq	%rbx
.Lborrow:
	sbbq	%r11, %r10		/* ... and here */
	movq	%rdi, %r14
	popq	%rax
	popq	%r12
context_end:
	jmp	context_end
