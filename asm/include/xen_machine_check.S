/*
 * do_machine_check(cpu_user_regs *regs): logs the error, which is left out here, and clears MCG_STATUS.MCIP as soon as another
 * machine check may come.
 */
	.globl	do_machine_check
	.globl	do_machine_check_end
do_machine_check:
	pushq	%rbx
	movq	%rdi, %rbx
	movl	$MSR_IA32_MCG_STATUS, %ecx
	rdmsr
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
mcip_clear:
	movq	UREGS_rip(%rbx), %rax
	popq	%rbx
	ret
do_machine_check_end:
	int3				/* not reached: gives the label an address of its own */
