/*
 * The idle loop of a processor, and the interrupt that wakes it by noting that there is work. The loop asks for work with
 * interrupts off and then executes STI; HLT, which no interrupt can come between: the shadow of STI holds it back until HLT waits.
 *
 * Sources: KVM 30bd0c4c6c5a, kvm-unit-tests f2d2b7c7; SDM vol. 2, STI: an NMI may come between the two, and the delivery of any
 * event ends the shadow. Then the interrupt comes in front of the HLT, behind the question, and the HLT sleeps on the work.
 *
 *	RESTART_IDLE	the interrupt's handler has the loop ask again if it has interrupted it there
 *
 * Stack at the handler's entry: the hardware frame.
 */
#include "include/linux.h"

	.section .entry.text,"ax",@progbits

	.globl	cpu_idle, cpu_idle_end
cpu_idle:
	cli
	cmpl	$0, work_pending(%rip)
	jne	idle_over
	sti
idle_halt:
	hlt
	jmp	cpu_idle
idle_over:
	movl	$0, work_pending(%rip)
	sti
	ret
cpu_idle_end:

	.globl	interrupt_0x20, interrupt_0x20_end
interrupt_0x20:
	movl	$1, work_pending(%rip)
#ifdef RESTART_IDLE
	pushq	%rax
	leaq	idle_halt(%rip), %rax
	cmpq	%rax, 8(%rsp)
	jne	not_idle
	leaq	cpu_idle(%rip), %rax
	movq	%rax, 8(%rsp)
not_idle:
	popq	%rax
#endif
	iretq
interrupt_0x20_end:

	.data
	.globl	work_pending
work_pending:
	.long	0
