/*
 * ist_handler name, vector, function: the entry of a vector with an IST stack of its own, as simple as it can be. It stays on
 * that stack, whatever it has interrupted, and nothing guards it from a second event. Macro of the assembler only; needs
 * xen_frame.S.
 */
	.macro	ist_handler	name, vector, function
	.balign	16
	.globl	\name
\name:
	pushq	$0
	movl	$\vector, 4(%rsp)
	SAVE_ALL
	movq	%rsp, %rdi
	call	\function
	RESTORE_ALL
	addq	$8, %rsp
	iretq
	.endm
