/*
 * The way out of an exception: does GS have to be given back?
 *
 * Up to 4.17 the entry noted the answer in EBX, which C keeps, and the exit asked EBX. But one entry came to that exit
 * without having noted anything: the callback by which Xen tells a PV guest that its IRET has failed (CVE-2018-14678).
 * What it left in EBX was the interrupted program's. The saved CS is always there (b3681dd548d0).
 *
 * Vector 11 stands for the callback, vector 13 for any other exception.
 *
 * Stack: SS, RSP, RFLAGS, CS, RIP, error code, rdi … r15.
 *
 * Variants:
 *	EBX_TELLS	the exit asks EBX
 */
#include "include/entry.S"

	.text

	.globl	general_protection
general_protection:
	PUSH_REGS
	clear_user_flags
	/* EBX: 1 for "leave GS alone". */
	movl	$1, %ebx
	testb	$3, PT_CS(%rsp)
	jz	1f
	swapgs
	xorl	%ebx, %ebx
1:	movq	%rsp, %rdi
	call	do_general_protection
	jmp	error_exit

	.globl	segment_not_present
segment_not_present:
	PUSH_REGS
	clear_user_flags
	gs_by_cs
	movq	%rsp, %rdi
	call	do_segment_not_present

error_exit:
#ifdef EBX_TELLS
	testl	%ebx, %ebx
	jnz	.Lto_kernel
#else
	testb	$3, PT_CS(%rsp)
	jz	.Lto_kernel
#endif
	swapgs
.Lto_kernel:
	POP_REGS
	addq	$8, %rsp
error_iret:
	iretq
