/* From a guest that has FSGSBASE to one that has not, and back. SMEP and SMAP are on throughout. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	movq	%cr4, %rax
	orq	$(3 << 20), %rax
	movq	%rax, %cr4
	movq	%rax, %gs:cr4_copy
first_guest:
	call	fsgsbase_off
second_guest:
	addq	%rdi, %rsi
	call	fsgsbase_on
third_guest:
	movq	%cr4, %rbx
context_end:
	jmp	context_end
