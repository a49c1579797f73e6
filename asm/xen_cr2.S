/*
 * When the #PF handler may let interrupts in.
 *
 * Source: b06e76db7c (Xen, 2024): the entry enabled interrupts, if the interrupted code had, before the C code read CR2. The
 * handler of an interrupt that takes a #PF of its own leaves another address there.
 *
 * Macro:
 *	STI_BEFORE_CR2	interrupts are enabled before CR2 is read
 *
 * The interrupt is that of vector 0x20; its handler reads a word at interrupt_work, where a scenario can have it fault.
 *
 * Stacks: pt_regs below the frame of #PF; the interrupt keeps what it uses.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.text

	.globl	page_fault
page_fault:
	PUSH_REGS
	cld
#ifdef STI_BEFORE_CR2
	testl	$RFLAGS_IF, PT_RFLAGS(%rsp)
	jz	page_fault_address
	sti
page_fault_address:
	/* Were CR2 read by the very next instruction, the shadow of STI would hide it. */
	movq	%rsp, %rsi
	movq	%cr2, %rdi
#else
	movq	%cr2, %rdi
page_fault_address:
	testl	$RFLAGS_IF, PT_RFLAGS(%rsp)
	jz	page_fault_work
	sti
#endif
page_fault_work:
	movq	%rdi, %rax
	notq	%rax
	cli
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	interrupt_0x20
interrupt_0x20:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
interrupt_work:
	movq	16(%rsp), %rcx
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq
