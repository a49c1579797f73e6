/*
 * NMIs from ring 3 with page-table isolation: through the IST stack to the thread stack, and back through the entry stack.
 *
 * Source: the user path of asm_exc_nmi since 4.15. Until CR3 is the kernel's, only what both address spaces map may be touched:
 * the IST and entry stacks, the entry text, and the per-CPU variables in the user-mapped section. The thread stack and
 * cpu_current_top_of_stack are not among them.
 *
 * Macros:
 *	STACK_BEFORE_CR3	the top of the thread stack is read before CR3 is loaded
 *	PUSH_BEFORE_CR3		it is read from a variable that is mapped, but CR3 is loaded only after the first push
 *	CR3_BEFORE_COPY		on the way out CR3 is given back while the frame is still on the thread stack
 *
 * NMI stack: the hardware frame and, below it, rdx. Thread stack: pt_regs at its top. Entry stack on the way out: the frame,
 * and rdi below it. An NMI in ring 0 is not expected here: one at a time, from ring 3.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.globl	pti
	.set	pti, 1

	.macro	LOAD_KERNEL_CR3
	movq	%cr3, %rdx
	andq	$~CR3_USER, %rdx
	movq	%rdx, %cr3
	.endm

	.macro	LOAD_USER_CR3
	movq	%cr3, %rdi
	orq	$CR3_USER, %rdi
	movq	%rdi, %cr3
	.endm

	.section .entry.text,"ax",@progbits

	.globl	nmi
nmi:
	pushq	%rdx
	swapgs
	cld
#if defined(PUSH_BEFORE_CR3)
	movq	%rsp, %rdx
	movq	%gs:entry_top_of_stack, %rsp
	pushq	40(%rdx)
	pushq	%rdx
	LOAD_KERNEL_CR3
	popq	%rdx
#elif defined(STACK_BEFORE_CR3)
	movq	%rsp, %rdx
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	40(%rdx)
	pushq	%rdx
	LOAD_KERNEL_CR3
	popq	%rdx
#else
	LOAD_KERNEL_CR3
	movq	%rsp, %rdx
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	40(%rdx)
#endif
	pushq	32(%rdx)
	pushq	24(%rdx)
	pushq	16(%rdx)
	pushq	8(%rdx)
	pushq	$-1
	pushq	%rdi
	pushq	%rsi
	pushq	(%rdx)			/* rdx; the NMI stack is free now */
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

	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

nmi_return_to_user:
	POP_REGS
#ifdef CR3_BEFORE_COPY
	LOAD_USER_CR3
#endif
	/* The frame, and rdi, go to the entry stack, whose top is where the TSS begins. */
	movq	%rsp, %rdi
	movabsq	$cpu_tss, %rsp
	pushq	40(%rdi)
	pushq	32(%rdi)
	pushq	24(%rdi)
	pushq	16(%rdi)
	pushq	8(%rdi)
	pushq	-8(%rdi)
#ifndef CR3_BEFORE_COPY
	LOAD_USER_CR3
#endif
	popq	%rdi
	swapgs
	iretq

	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8
	/* For PUSH_BEFORE_CR3: the address is known, but what lies there is not mapped. */
entry_top_of_stack:
	.quad	thread_stack_top
