/*
 * Context "sysret-gap": the way out of a system call by SYSRET, to ring 3 code whose RSP points into the NMI stack.
 *
 * SYSRET loads neither RSP nor GS: from entry_SYSRETQ_unsafe_stack on the kernel runs with a stack pointer that the user chose, behind
 * SWAPGS with the user's GS too, and with isolation on the user's page tables from a little before that. The frame is pushed as the entry
 * has it at entry_SYSCALL_64_after_hwframe, where kernels since 4.2 can be entered (Xen PV does), and says what SYSRET
 * asks for: RIP in RCX, RFLAGS in R11, the selectors of SYSCALL.
 */
#include "linux.h"

	.text

	.globl	context_start
context_start:
	movabsq	$nmi_stack_top-104, %r10	/* T-56 */
	movl	$after_syscall, %ecx
	movl	$RFLAGS_IF|RFLAGS_DF|RFLAGS_FIXED, %r11d
	cli
	pushq	$__USER_DS
	pushq	%r10
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	jmp	entry_SYSCALL_64_after_hwframe

	.section .text.user,"ax",@progbits

	.globl	context_end
after_syscall:
	cld
	addq	%rdi, %rsi
context_end:
	jmp	context_end
