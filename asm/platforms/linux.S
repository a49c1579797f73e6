/*
 * Defaults of the linux platform, linked to each image. Everything here is weak: an image that defines
 * the symbol itself gets its own.
 *
 * Handlers: return at once, by IRETQ, hence unblock NMIs. They run on the stack that was current, or on the thread
 * stack if ring 3 was interrupted; #DB, #DF and #MC on IST stacks. They change no register, so they need no pt_regs and
 * no SWAPGS. Each has its own code, so that a boundary has one name.
 *
 * Stack at entry, from RSP up: [error code,] RIP, CS, RFLAGS, RSP, SS.
 */
#include "../include/linux.h"

/* With page-table isolation the handlers are reached in user mode's address space too. */
	.section .entry.text,"ax",@progbits

/* Vectors without an error code: 0, 1, 3 to 7, 16, 18, 19. */

	.weak	divide_error
divide_error:
	iretq

	.weak	debug
debug:
	iretq

	.weak	int3
int3:
	iretq

	.weak	overflow
overflow:
	iretq

	.weak	bounds
bounds:
	iretq

	.weak	invalid_op
invalid_op:
	iretq

	.weak	device_not_available
device_not_available:
	iretq

	.weak	coprocessor_error
coprocessor_error:
	iretq

/* #MC: IA32_MCG_STATUS is cleared before the IRETQ, or the next machine check would shut the processor down. */

	.weak	machine_check
machine_check:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.weak	simd_coprocessor_error
simd_coprocessor_error:
	iretq

/*
 * Any interrupt from outside that the image has no handler for. One from the INTR pin needs no EOI: with nothing in
 * service in the local APIC it has no effect, otherwise it ends the interrupt whose handler was interrupted.
 */

	.weak	plain_interrupt
plain_interrupt:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lxapic
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
.Linterrupt_over:
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

.Lxapic:
	testl	$APIC_BASE_EN, %eax
	jz	.Linterrupt_over
	movl	$0, local_apic_page+XAPIC_EOI
	jmp	.Linterrupt_over

/* Vectors with an error code, 8, 10 to 14, 17, 29: IRETQ does not know of it. */

	.weak	double_fault
double_fault:
	addq	$8, %rsp
	iretq

	.weak	invalid_TSS
invalid_TSS:
	addq	$8, %rsp
	iretq

	.weak	segment_not_present
segment_not_present:
	addq	$8, %rsp
	iretq

	.weak	stack_segment
stack_segment:
	addq	$8, %rsp
	iretq

	.weak	general_protection
general_protection:
	addq	$8, %rsp
	iretq

	.weak	page_fault
page_fault:
	addq	$8, %rsp
	iretq

	.weak	vmm_communication
vmm_communication:
	addq	$8, %rsp
	iretq

	.weak	alignment_check
alignment_check:
	addq	$8, %rsp
	iretq

/* SYSCALL: back to where it came from. RCX, R11 and RSP are as SYSCALL left them. */

	.weak	entry_SYSCALL_64
entry_SYSCALL_64:
	sysretq

/*
 * Per-CPU variables. The section is linked at address 0 and lives at the kernel's GS base, so that
 * %gs:name is the variable of the CPU that runs.
 */
	.section .data..percpu,"aw",@progbits
	.balign	8

	/* The top of the thread stack, where an entry from ring 3 starts. The harness fills it in. */
	.weak	cpu_current_top_of_stack
cpu_current_top_of_stack:
	.quad	0

/* What an entry uses before it has loaded the kernel's CR3. */
	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8

	/* Room for the user's RSP while SYSCALL has no stack yet. */
	.weak	cpu_tss_rsp2
cpu_tss_rsp2:
	.quad	0

#include "fred.S"
#include "smm.S"
