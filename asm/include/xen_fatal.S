/* Faults that the hypervisor does not expect of itself: each ends in fatal_trap, which stops the machine. */
	.text

	.globl	invalid_op
invalid_op:
	jmp	fatal_trap

	.globl	segment_not_present
segment_not_present:
	jmp	fatal_trap

	.globl	stack_segment
stack_segment:
	jmp	fatal_trap

	.globl	general_protection
general_protection:
	jmp	fatal_trap

	.globl	page_fault
page_fault:
	jmp	fatal_trap

	.globl	fatal_trap
fatal_trap:
	cli
	hlt
	jmp	fatal_trap
