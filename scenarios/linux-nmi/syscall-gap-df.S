/*
 * Context: the SYSCALL gap of "syscall-gap" in a kernel that has left DF out of the SYSCALL flag mask. It sets the mask, goes to
 * ring 3, and comes back with RSP in the NMI stack, and with DF still set. The entry does not rely on the mask: it clears DF itself.
 */
#include "include/linux.h"

#define MSR_FMASK	0xc0000084
/* CF PF AF ZF SF TF IF OF IOPL NT RF AC ID; not DF. */
#define MASK_WITHOUT_DF	0x257bd5

	.text

	.globl	context_start
context_start:
	movl	$MSR_FMASK, %ecx
	movl	$MASK_WITHOUT_DF, %eax
	xorl	%edx, %edx
	wrmsr
	movq	%rsp, %rax
	leaq	user_code(%rip), %rcx
	pushq	$__USER_DS
	pushq	%rax
	pushq	$0x202
	pushq	$__USER_CS
	pushq	%rcx
	swapgs
	iretq

	.section .text.user,"ax",@progbits

user_code:
	movabsq	$nmi_stack_top-104, %rsp	/* T-56 */
	std
	syscall
after_syscall:
	jmp	after_syscall		/* not reached: the path ends in the kernel */

	.text

	.globl	entry_SYSCALL_64
	.globl	context_end
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	cld
	pushq	$__USER_DS
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	movq	24(%rsp), %r12		/* the user's RSP */
context_end:
	jmp	context_end
