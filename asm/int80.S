/*
 * INT 0x80, the system call of 32-bit programs, and an interrupt from outside with the same vector.
 *
 * The handler cannot see which of the two it is: both push the same frame. A hypervisor, or a device, that sends vector
 * 0x80 makes whatever runs execute a system call with the RAX that it happens to have (CVE-2024-25744). The local APIC
 * knows: an interrupt of its own is in service.
 *
 * Stack: SS, RSP, RFLAGS, CS, RIP, orig_rax, rdi … r15; from ring 3 at the top of the thread stack.
 *
 * Variants:
 *	TRUSTS_VECTOR	does not ask
 */
#include "include/entry.S"

#define ENOSYS			38
/* ISR bits 128 to 159. */
#define MSR_X2APIC_ISR4		0x814

	.globl	dpl_128
	.set	dpl_128, 3

	.text

	.globl	interrupt_0x80
interrupt_0x80:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	gs_by_cs
#ifndef TRUSTS_VECTOR
	movl	$MSR_X2APIC_ISR4, %ecx
	rdmsr
	testl	$1, %eax
	jz	system_call
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	jmp	int80_exit
#endif

system_call:
	movq	%rsp, %rdi
	call	do_int80
	/* No number that a program here passes is that of a system call. */
	movq	$-ENOSYS, PT_RAX(%rsp)
int80_exit:
	gs_by_cs
	POP_REGS
	addq	$8, %rsp
int80_iret:
	iretq
