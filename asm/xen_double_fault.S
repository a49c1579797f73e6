/*
 * A #DF handler that fills in more of its frame than the processor has pushed.
 *
 * Source: 6065a05adf and 14acde869f (Xen): the structure of the registers ended in four selectors of virtual-8086 mode, above SS.
 * On an IST stack the frame begins at the very top; what is above belongs to the next stack, or is a guard page.
 *
 * Macro:
 *	SELECTORS_ABOVE_FRAME	the handler stores DS, ES, FS and GS above SS
 *
 * The IST slot is that of a stack with nothing mapped above. (On the platform's own #DF stack the stores hit the lowest words of the NMI
 * stack, which nobody is using then: no property can tell.)
 *
 * Stack: hardware frame with error code, pt_regs. Xen's handler stops the system; this one returns, so that it can be seen
 * what it has done.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.globl	ist_8
	.set	ist_8, 5

	.text

	.globl	double_fault
double_fault:
	PUSH_REGS
	cld
#ifdef SELECTORS_ABOVE_FRAME
	movl	%ds, %eax
	movl	%eax, PT_SIZE(%rsp)
	movl	%es, %eax
	movl	%eax, PT_SIZE+8(%rsp)
	movl	%fs, %eax
	movl	%eax, PT_SIZE+16(%rsp)
	movl	%gs, %eax
	movl	%eax, PT_SIZE+24(%rsp)
#endif
	POP_REGS
	addq	$8, %rsp
	iretq

#include "include/syscall_path.S"
