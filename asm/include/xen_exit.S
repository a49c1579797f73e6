/*
 * The ways out of Xen, with cpu_user_regs at RSP: to the hypervisor's own code, or to the guest after a look at what is to be
 * done first.
 *
 * A guest that entered by SYSCALL is given back by SYSRET, all others by IRET. SYSRET loads no RSP: for one instruction the
 * hypervisor runs on the guest's, which is why NMI and #MC have stacks of their own.
 */
ret_from_intr:
	testb	$3, UREGS_cs(%rsp)
	jz	restore_all_xen

	.globl	test_all_events
test_all_events:
	/* From the test to the return nothing may be raised by an interrupt. */
	cli
	GET_PERCPU %rax
	cmpl	$0, softirq_pending(%rax)
	jne	process_softirqs

restore_all_guest:
	RESTORE_ALL
	testl	$TRAP_syscall, 4(%rsp)
	jz	iret_exit_to_guest
	addq	$8, %rsp
	popq	%rcx			/* RIP */
	popq	%r11			/* CS */
	popq	%r11			/* RFLAGS */
	popq	%rsp
sysret_to_guest:
	sysretq

iret_exit_to_guest:
	addq	$8, %rsp
guest_iret:
	iretq

restore_all_xen:
	RESTORE_ALL
	addq	$8, %rsp
xen_iret:
	iretq

process_softirqs:
	sti
	call	do_softirq
	jmp	test_all_events
