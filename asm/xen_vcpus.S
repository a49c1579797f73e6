/*
 * Two virtual processors for asm/xen_entry.S: what there is to be rescheduled to, and the softirq that does it.
 *
 * One is the guest of the context. The other has been descheduled in a hypercall, so it goes on by SYSRET, behind its SYSCALL;
 * there it asks to be descheduled again, which is how the first one gets the processor back. The NMI's body raises the softirq
 * (as Xen's does for a PCI system error, since it can do next to nothing itself).
 *
 * What a virtual processor has in its registers lies at the bottom of the primary stack while it is the running one, else in
 * vcpu_regs, where schedule exchanges the two.
 */
#include "include/xen.h"
#include "include/xen_frame.S"

#define SCHEDULE_SOFTIRQ	1

	.text

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	GET_PERCPU %rax
	movl	$SCHEDULE_SOFTIRQ, softirq_pending(%rax)
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

#include "include/xen_lstar.S"
	pushq	$0
	movl	$TRAP_syscall, 4(%rsp)
	SAVE_ALL
	/* The only hypercall: let another one run. */
	GET_PERCPU %rax
	movl	$SCHEDULE_SOFTIRQ, softirq_pending(%rax)
	jmp	test_all_events

	.globl	do_softirq
do_softirq:
	GET_PERCPU %rax
	movl	$0, softirq_pending(%rax)
schedule_vcpu:
	GET_STACK_END(%rdi)
	leaq	STACK_CPUINFO_FIELD(CPUINFO_guest_cpu_user_regs)(%rdi), %rdi
	leaq	vcpu_regs(%rip), %rsi
	movl	$UREGS_kernel_sizeof/8, %ecx
.Lexchange:
	movq	(%rdi), %rax
	movq	(%rsi), %rdx
	movq	%rdx, (%rdi)
	movq	%rax, (%rsi)
	addq	$8, %rdi
	addq	$8, %rsi
	decl	%ecx
	jnz	.Lexchange
	ret

/* The other guest's code: behind its hypercall, and the next one. */
	.section .text.user,"ax",@progbits
other_guest:
	movq	%rax, %rbx
	syscall
	jmp	other_guest

	.data
	.balign	8
vcpu_regs:
	.fill	15, 8, 0x5a5a5a5a
	.long	0, TRAP_syscall
	.quad	other_guest, FLAT_RING3_CS64, 0x202, 0x5a5a5a5a, FLAT_RING3_SS64
