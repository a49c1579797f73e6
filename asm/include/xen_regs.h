/*
 * SAVE_ALL and RESTORE_ALL: the 15 registers of struct cpu_user_regs below the words that an entry has pushed. The flags are
 * those of C code afterwards.
 */
#ifndef ENTRACE_XEN_REGS_H
#define ENTRACE_XEN_REGS_H

	.macro	SAVE_ALL
	cld
	.irp	register, rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15
	pushq	%\register
	.endr
	.endm

	.macro	RESTORE_ALL
	.irp	register, r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi
	popq	%\register
	.endr
	.endm

#endif
