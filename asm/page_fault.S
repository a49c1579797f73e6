/*
 * A #PF handler that reads CR2 where Linux up to 4.x does: in C, after the entry has saved the registers (L-6).
 *
 * Sources: 7fbb98c5cb07 (3.5), by which the NMI handler keeps CR2; races of the same kind with #MC and #DB.
 *
 * From the delivery until do_page_fault has read it, CR2 is the only place where the address is. An NMI in between whose body faults as
 * well puts another address there.
 *
 * Stack: RSP at entry is at the error code; pt_regs begins 120 bytes below.
 *
 * body_page_fault.S has a body that faults. A fault of its access is fixed up, by the exception table.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.text

	.globl	page_fault
	.globl	page_fault_end
page_fault:
	PUSH_REGS
	cld
	testb	$3, PT_CS(%rsp)
	jz	.Lkernel_gs
	swapgs
.Lkernel_gs:
	movq	%rsp, %rdi
	movq	PT_ORIG_RAX(%rsp), %rsi
	call	do_page_fault
	testb	$3, PT_CS(%rsp)
	jz	page_fault_restore
	swapgs
page_fault_restore:
	POP_REGS
	addq	$8, %rsp		/* the error code */
	iretq

/* do_page_fault(pt_regs *regs, unsigned long error_code) */
do_page_fault:
	movq	%cr2, %rdx
cr2_read:
	leaq	copy_from_user_nmi(%rip), %rax
	cmpq	%rax, PT_RIP(%rdi)
	jne	.Lresolved
	leaq	copy_from_user_failed(%rip), %rax
	movq	%rax, PT_RIP(%rdi)
.Lresolved:
	ret
page_fault_end:
	int3				/* not reached: gives the label an address of its own */
