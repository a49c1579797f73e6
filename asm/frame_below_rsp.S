/*
 * A return to ring 3 from a stack of its own, as Xen's PV guests return from the stack that the hypercall takes the
 * frame from.
 *
 * The frame is copied below the top of that stack. As long as RSP is above it, it lies in what the next event pushes
 * to: with NMIs on the stack in use (a PV guest has no IST) the copy is overwritten by an NMI that comes in between.
 *
 * Return stack, from its top: SS, RSP, RFLAGS, CS, RIP. Here it is the IST stack of #DB, which nothing else uses.
 *
 * Variants:
 *	RSP_ABOVE	loads RSP with the top first, and moves it down after
 *	NMI_WITHOUT_IST
 */
#include "include/entry.S"

#ifdef NMI_WITHOUT_IST
	.globl	ist_2
	.set	ist_2, 0
#endif

#define RETURN_STACK		nmi_stack_top+4096

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

return_to_user:
	movabsq	$RETURN_STACK, %rdi
	.irp	word, 32, 24, 16, 8, 0
	movq	PT_RIP+\word(%rsp), %rax
	movq	%rax, \word-40(%rdi)
	.endr
	POP_REGS
#ifdef RSP_ABOVE
	movabsq	$RETURN_STACK, %rsp
above_the_frame:
	leaq	-40(%rsp), %rsp
#else
	movabsq	$RETURN_STACK-40, %rsp
#endif
	swapgs
user_iret:
	iretq
