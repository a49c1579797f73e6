/*
 * The registers of an interrupted context as struct cpu_user_regs, below the word of error code and vector. With them saved
 * RSP points to it. Macros of the assembler only.
 */
#include "pt_regs.S"

	.macro	SAVE_ALL
	PUSH_REGS
	cld
	.endm

	.macro	RESTORE_ALL
	POP_REGS
	.endm

	/* The per-CPU area of this processor, from RSP; the flags change. */
	.macro	GET_PERCPU reg
	GET_STACK_END(\reg)
	movq	STACK_CPUINFO_FIELD(CPUINFO_per_cpu_offset)(\reg), \reg
	.endm
