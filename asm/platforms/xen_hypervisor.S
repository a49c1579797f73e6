/*
 * What Xen's own entry code finds in memory, and those of the C functions that it calls for which no stand-in would do. Linked to
 * Xen executables, in place of xen.S, which is part of it. All weak.
 *
 * The functions are written from what they do, as far as that can be seen from entry code.
 */
#include "xen.S"

/* struct softirq_pending is the first word of a processor's irq_stat, 128 bytes for each. */
#define IRQ_STAT_SHIFT		7
#define MACHINE_CHECK_SOFTIRQ	9

	.data
	.balign	4096

	/* struct vcpu of what runs, with a page for each structure that it points to. src/platforms/xen_hypervisor.ts fills it in. */
	.weak	running_vcpu
	.type	running_vcpu, @object
	.size	running_vcpu, 0x2000
running_vcpu:
	.skip	0x2000

	.weak	running_vcpu_pointees
	.type	running_vcpu_pointees, @object
	.size	running_vcpu_pointees, 0x8000
running_vcpu_pointees:
	.skip	0x8000

	/* What write_stub_trampoline writes into the stub page of the first processor, where LSTAR points. */
	.section .text.entry,"ax",@progbits
	.balign	16
	.weak	lstar_stub
lstar_stub:
	movabsq	%rax, stack_bottom-8
	movq	%rsp, %rax
	movabsq	$stack_bottom-8, %rsp
	jmp	lstar_enter

	.text

	/* The irq_stat of this processor; the flags change. */
	.macro	GET_IRQ_STAT reg, stack_end
	GET_STACK_END(\stack_end)
	movl	STACK_CPUINFO_FIELD(CPUINFO_processor_id)(\stack_end), %e\reg
	shlq	$IRQ_STAT_SHIFT, %r\reg
	leaq	irq_stat(%rip), \stack_end
	addq	\stack_end, %r\reg
	.endm

	/*
	 * do_machine_check(cpu_user_regs *regs), with mcheck_cmn_handler, which it calls: logs the error, which is left out here, clears
	 * MCG_STATUS, asks for a softirq and returns.
	 */
	.weak	do_machine_check
	.globl	do_machine_check_end, mcip_clear
	.type	do_machine_check, @function
do_machine_check:
	pushq	%rbx
	movq	%rdi, %rbx
	movl	$MSR_IA32_MCG_STATUS, %ecx
	rdmsr
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
mcip_clear:
	GET_IRQ_STAT cx, %rax
	orl	$1 << MACHINE_CHECK_SOFTIRQ, (%rcx)
	movq	UREGS_rip(%rbx), %rax
	popq	%rbx
	ret
do_machine_check_end:
	int3				/* not reached: gives the label an address of its own */

	/* do_softirq(): serves what is pending, until nothing is. */
	.weak	do_softirq
	.globl	do_softirq_end
	.type	do_softirq, @function
do_softirq:
	GET_IRQ_STAT cx, %rax
	movl	$0, (%rcx)
	ret
do_softirq_end:
	int3

	/* send_IPI_self(vector): by the local APIC's own register for it, as x2apic_phys and x2apic_cluster have it. */
	.weak	send_IPI_self
	.globl	send_IPI_self_end
	.type	send_IPI_self, @function
send_IPI_self:
	movl	$MSR_X2APIC_SELF_IPI, %ecx
	movzbl	%dil, %eax
	xorl	%edx, %edx
	wrmsr
	ret
send_IPI_self_end:
	int3

	/* do_IRQ(cpu_user_regs *regs): the end of the interrupt, whatever it was; the local APIC is in x2APIC mode here too. */
	.weak	do_IRQ
	.globl	do_IRQ_end
	.type	do_IRQ, @function
do_IRQ:
	pushq	%rbx
	movq	%rdi, %rbx
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rbx
	ret
do_IRQ_end:
	int3
