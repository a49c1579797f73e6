/*
 * The interrupt by which a processor asks another one, or itself, to look for softirqs: there is nothing to do but to leave by
 * the way that looks. And the softirqs: a word of each processor, a bit for each kind.
 */
	.globl	interrupt_0xfc
interrupt_0xfc:
	pushq	$0
	movl	$EVENT_CHECK_VECTOR, 4(%rsp)
	SAVE_ALL
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	jmp	ret_from_intr

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	softirq_pending
softirq_pending:
	.long	0
	.long	0
	.text
