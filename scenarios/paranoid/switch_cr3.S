/*
 * A switch from one process' page tables to another's on a kernel without isolation, with the note of it in a per-CPU
 * variable: once the register first, and once the variable first.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushq	%rbx
	movl	$kernel_cr3 + 0x2000, %eax
	movq	%rax, %cr3
register_first:
	movq	%rax, %gs:kernel_cr3_now
	addq	%rdi, %rsi
	movl	$kernel_cr3, %eax
	movq	%rax, %gs:kernel_cr3_now
variable_first:
	movq	%rax, %cr3
	popq	%r12
	movq	%cr3, %r13
context_end:
	jmp	context_end
