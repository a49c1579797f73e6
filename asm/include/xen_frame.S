/*
 * The registers of an interrupted context as struct cpu_user_regs, below the word of error code and vector. With them saved
 * RSP points to it. Macros of the assembler only.
 */
	.macro	SAVE_ALL
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	.endm

	.macro	RESTORE_ALL
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	.endm

	/* The per-CPU area of this processor, from RSP; the flags change. */
	.macro	GET_PERCPU reg
	GET_STACK_END(\reg)
	movq	STACK_CPUINFO_FIELD(CPUINFO_per_cpu_offset)(\reg), \reg
	.endm
