/*
 * Context: SYSENTER from ring 3 with an RSP that points into the NMI stack, and with DF set. SYSENTER takes RSP and RIP from MSRs, and leaves
 * DF as it is: the entry has to clear it. It sets the MSRs first, in ring 0.
 */
#include "include/linux.h"

#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176

	.macro	WRITE_MSR number
	movl	$\number, %ecx
	movq	%rax, %rdx
	shrq	$32, %rdx
	wrmsr
	.endm

	.text

	.globl	context_start
	.globl	context_end
context_start:
	movl	$__KERNEL_CS, %eax
	WRITE_MSR MSR_SYSENTER_CS
	movq	%rsp, %rax
	WRITE_MSR MSR_SYSENTER_ESP
	leaq	entry_SYSENTER(%rip), %rax
	WRITE_MSR MSR_SYSENTER_EIP
	movq	%rsp, %rax
	leaq	user_code(%rip), %rcx
	pushq	$__USER_DS
	pushq	%rax
	pushq	$0x202
	pushq	$__USER_CS
	pushq	%rcx
	swapgs
	iretq

entry_SYSENTER:
	swapgs
	movq	%gs:cpu_current_top_of_stack, %rsp
	cld
	pushq	$__USER_DS
	popq	%r12
context_end:
	jmp	context_end

	.section .text.user,"ax",@progbits

user_code:
	movabsq	$nmi_stack_top-104, %rsp	/* T-56 */
	std
	sysenter
after_sysenter:
	jmp	after_sysenter		/* not reached: the path ends in the kernel */
