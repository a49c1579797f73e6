/*
 * The same switch on a kernel that does not keep the note, because it has nothing to tell it: the variable says so.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movl	$kernel_cr3 + 0x2000, %eax
	movq	%rax, %cr3
	addq	%rdi, %rsi
	movl	$kernel_cr3, %eax
	movq	%rax, %cr3
	popq	%r12
	movq	%cr3, %r13
context_end:
	jmp	context_end
