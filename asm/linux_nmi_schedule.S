/*
 * NMI entry of Linux up to 3.2 with its way out to user mode: an NMI that interrupted ring 3 looks for work on its return, as
 * interrupts do, and may call the scheduler. "x86: Do not schedule while still in NMI context", 549c89b98c45 (3.3), took that out.
 *
 * Only an IRET ends the blocking of NMIs. The scheduler lets interrupts in, and may go on with another task, which returns to
 * user mode by SYSRET: no NMI comes until somebody executes an IRET. It is Linux' twin of item 9 of Cooper's list.
 *
 * There is a second task here: it has called the scheduler in a system call, returns from it by SYSRET and calls it again at once.
 * There is always something to be scheduled when an NMI comes. As to nesting, the entry is the plain one (asm/linux_nmi_plain.S).
 *
 * With STRAIGHT_RETURN, as since 3.3, the NMI returns to user mode without looking; the work waits for the next interrupt.
 *
 * NMI stack: pt_regs. Thread stack, from its top: pt_regs, once more; what the scheduler has saved.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld

	/* EBX: 1 for "leave GS alone". */
	movl	$1, %ebx
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	.Lkernel_gs
	swapgs
	xorl	%ebx, %ebx
.Lkernel_gs:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

#ifndef STRAIGHT_RETURN
	testb	$3, PT_CS(%rsp)
	jz	nmi_out
nmi_userspace:
	cmpl	$0, %gs:need_resched
	je	nmi_out
	/* A task that sleeps keeps what it has on its own stack: pt_regs goes there. */
	movq	%gs:cpu_current_top_of_stack, %rdi
	subq	$PT_SIZE, %rdi
	movq	%rdi, %rax
	movq	%rsp, %rsi
	movl	$PT_SIZE/8, %ecx
	rep movsq
	movq	%rax, %rsp
	sti
nmi_schedule:
	call	schedule
	cli
	jmp	nmi_userspace
#endif

nmi_out:
	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs
nmi_restore:
	POP_REGS
	addq	$8, %rsp
irq_return:
	iretq

/* The scheduler: this task sleeps, the other one returns from its system call. */
	.globl	schedule
schedule:
	cli
	movl	$0, %gs:need_resched
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %gs:sleeping_rsp
	movq	%gs:other_rip, %rcx
	movl	$0x202, %r11d
	movabsq	$0x00007fffffffe800, %rsp
	swapgs
return_from_system_call:
	sysretq

/* The other task calls the scheduler: the first one goes on where it went to sleep. */
	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rcx, %gs:other_rip
	movq	%gs:sleeping_rsp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	sti
	ret

	.section .text.user,"ax",@progbits
other_task:
	syscall
	jmp	other_task

	.section .data..percpu,"aw",@progbits
	.balign	8
sleeping_rsp:
	.quad	0
other_rip:
	.quad	other_task
need_resched:
	.long	1
	.long	0
