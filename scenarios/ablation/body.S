/*
 * The body for ablation: it looks at the pt_regs that it is given, as the C part would, and takes a page fault, whose IRET unblocks
 * NMIs. That fault is fixed up, by the exception table.
 */
#include "include/linux.h"

#define NOT_THERE	0x10000

	.text

	.globl	default_do_nmi
	.globl	default_do_nmi_end
default_do_nmi:
	/* A kernel would die of it otherwise: profile, backtrace and watchdog all ask where the NMI came from. */
	movq	PT_CS(%rdi), %rax
	cmpq	$__USER_CS, %rax
	je	1f
	cmpq	$__KERNEL_CS, %rax
	jne	panic
1:	movl	$NOT_THERE, %ecx

	.globl	copy_from_user_nmi
	.globl	copy_from_user_failed
copy_from_user_nmi:
	movq	(%rcx), %rdx
copy_from_user_failed:
	movabsq	$0xb0d1000000000002, %rsi
	movabsq	$0xb0d1000000000003, %rdi
	ret
default_do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

	.globl	panic
panic:
	hlt
	jmp	panic

	.section __ex_table,"a",@progbits
	.quad	copy_from_user_nmi, copy_from_user_failed
