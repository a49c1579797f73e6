/*
 * A context of 100,000 transitions for the debugger's measure: arithmetic, calls, pushes, stores to a table. It takes no event
 * and ends by itself.
 */
	.text
	.globl context_start, context_end
context_start:
	movl	$8333, %ecx
1:	pushq	%rcx
	call	store
	popq	%rcx
	addq	%rcx, %rax
	decl	%ecx
	jnz	1b
context_end:
	jmp	context_end

store:
	movl	%ecx, %edx
	andl	$0xff, %edx
	leaq	table(%rip), %rsi
	movq	%rcx, (%rsi,%rdx,8)
	xorq	%rcx, %rax
	ret

	.data
table:
	.skip	8 * 256
