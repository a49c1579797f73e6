/*
 * The IRETQ to ring 3 with page-table isolation, and a fault that it raises.
 *
 * The address space of the user maps of the kernel no more than the entry code, the exception stacks and the entry
 * stack. So the way back copies the frame to the entry stack, loads the user's CR3, exchanges GS, and executes IRETQ
 * there. A fault of it finds CPL 0, the user's GS, the user's CR3, and its own frame on a stack with room for little
 * more.
 *
 * The handler takes that back in the reverse order, copies what it has been told to the top of the thread stack, and
 * calls C there.
 *
 * Entry stack, from its top: SS, RSP, RFLAGS, CS, RIP of the user; below it what the fault pushes, and the registers.
 *
 * Needed from outside: before_return and next_process, as in iret_fault.S.
 *
 * Variants:
 *	ON_ENTRY_STACK		C runs where the fault has been pushed (FreeBSD D30578)
 *	FIXUP_ON_USER_CR3	the handler loads the user's CR3 again before it calls C, as the way back does
 *				(linux-yocto 4.1 back-port of KAISER)
 */
#include "include/entry.S"

	.globl	pti
	.set	pti, 1
	.globl	dpl_128
	.set	dpl_128, 3

/* The bit of CR3 that tells the two address spaces apart. */
#define PTI_USER		0x1000

	.macro	kernel_cr3 scratch
	movq	%cr3, \scratch
	andq	$~PTI_USER, \scratch
	movq	\scratch, %cr3
	.endm

	.macro	user_cr3 scratch
	movq	%cr3, \scratch
	orq	$PTI_USER, \scratch
	movq	\scratch, %cr3
	.endm

	.section .entry.text,"ax",@progbits

	.globl	interrupt_0x80
interrupt_0x80:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	swapgs
	kernel_cr3 %rax
	/* From the entry stack to the thread stack. */
	movq	%rsp, %rsi
	movq	%gs:cpu_current_top_of_stack, %rsp
	.irp	word, 160, 152, 144, 136, 128, 120, 112, 104, 96, 88, 80, 72, 64, 56, 48, 40, 32, 24, 16, 8, 0
	pushq	\word(%rsi)
	.endr
	movq	%rsp, %rdi
	call	do_int80
	call	before_return

return_to_user:
	POP_REGS
	/* RSP: orig_rax, then the frame. RAX and RDI wait on the entry stack below the copy. */
	pushq	%rdi
	movq	%rsp, %rdi
	movq	%gs:entry_stack_top, %rsp
	pushq	48(%rdi)		/* SS */
	pushq	40(%rdi)		/* RSP */
	pushq	32(%rdi)		/* RFLAGS */
	pushq	24(%rdi)		/* CS */
	pushq	16(%rdi)		/* RIP */
	pushq	(%rdi)			/* RDI */
	pushq	%rax
	user_cr3 %rdi
	popq	%rax
	popq	%rdi
	swapgs
user_iret:
	iretq

	.globl	general_protection
general_protection:
	PUSH_REGS
	clear_user_flags
	xorl	%ebx, %ebx
	testb	$3, PT_CS(%rsp)
	jnz	.Lgs_of_user
	leaq	user_iret(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	je	.Lgs_of_user
	movl	$1, %ebx
	jmp	.Lin_kernel

.Lgs_of_user:
	swapgs
	kernel_cr3 %rax
#ifndef ON_ENTRY_STACK
	/* The words that IRETQ has refused, and the registers below them. */
	movq	%rsp, %rsi
	movq	PT_RSP(%rsp), %rdx
	movq	%gs:cpu_current_top_of_stack, %rsp
	.irp	word, 32, 24, 16, 8, 0
	pushq	\word(%rdx)
	.endr
	.irp	word, 120, 112, 104, 96, 88, 80, 72, 64, 56, 48, 40, 32, 24, 16, 8, 0
	pushq	\word(%rsi)
	.endr
#endif
#ifdef FIXUP_ON_USER_CR3
	user_cr3 %rax
#endif
.Lin_kernel:
	movq	%rsp, %rdi
	call	do_general_protection
	testl	%ebx, %ebx
	jz	next_process
	jmp	panic

	.text

	.globl	panic
panic:
	hlt
	jmp	panic

	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8
entry_stack_top:
	.quad	cpu_tss			/* it ends where the TSS begins */
