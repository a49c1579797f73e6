/*
 * The return to a program with a 16-bit stack segment.
 *
 * IRETQ to such a program loads SP alone. RSP[31:16] stays what it was in the kernel, so that the program sees a part
 * of a kernel address. The kernel therefore executes the IRETQ on a stack whose address has the program's own bits
 * there (3891a04aafd6, Linux 3.16): one small stack for each processor, which is mapped read-only at 65536 addresses,
 * and written at one more.
 *
 * A fault of that IRETQ (the stack segment has gone meanwhile) cannot be pushed there: the push is #PF, so is its own,
 * and #DF comes, on its IST stack, with GS the user's. Its handler knows the IRETQ and copies the refused frame to the
 * top of the thread stack, as if the user had faulted (af726f21ed8a); or the kernel stops over it (CVE-2014-9090).
 *
 * The machine has no second address for a page. Here the small stack is the lowest 40 bytes of the kernel's data, below
 * which nothing is mapped, and the program's RSP[31:16] are those of its address. (This file must be the first of the
 * image.)
 *
 * Stack of the handler: thread stack: SS, RSP, RFLAGS, CS, RIP, error code, rdi … r15.
 *
 * Needed from outside: next_process, where the kernel goes on when the process has ended.
 *
 * Variants:
 *	WITHOUT_ESPFIX		IRETQ where the handler has come to
 *	DF_IS_FATAL		the handler of #DF knows no IRETQ
 */
#include "include/entry.S"

	.text

	.globl	interrupt_0x30
interrupt_0x30:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	gs_by_cs
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	movq	%rsp, %rdi
	call	do_IRQ
	testb	$3, PT_CS(%rsp)
	jnz	return_to_user
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	return_to_user
return_to_user:
	POP_REGS
	addq	$8, %rsp
#ifndef WITHOUT_ESPFIX
	/* Only the segments of an LDT have 16 bits: the kernel has no others for programs. */
	testb	$4, 32(%rsp)
	jnz	return_to_ldt_segment
#endif
	swapgs
user_iret:
	iretq

#ifndef WITHOUT_ESPFIX
return_to_ldt_segment:
	pushq	%rdi
	pushq	%rax
	leaq	espfix_stack(%rip), %rdi
	.irp	word, 0, 8, 16, 24, 32
	movq	16+\word(%rsp), %rax
	movq	%rax, \word(%rdi)
	.endr
	popq	%rax
	/* RDI is the last to be given back, by a load from the stack that is left. */
	swapgs
	xchgq	%rdi, (%rsp)
	popq	%rsp
	jmp	user_iret
#endif

	.globl	double_fault
double_fault:
	PUSH_REGS
	clear_user_flags
#ifndef DF_IS_FATAL
	leaq	user_iret(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	jne	panic
	swapgs
	movq	PT_RSP(%rsp), %rsi
	movq	%gs:cpu_current_top_of_stack, %rdi
	subq	$PT_SIZE, %rdi
	.irp	word, 32, 24, 16, 8, 0
	movq	\word(%rsi), %rcx
	movq	%rcx, PT_RIP+\word(%rdi)
	.endr
	movq	$0, PT_ORIG_RAX(%rdi)
	movq	%rdi, %rsp
	call	do_general_protection
	jmp	next_process
#endif

	.globl	panic
panic:
	hlt
	jmp	panic

	.data
	.globl	espfix_stack
espfix_stack:
	.skip	40
