/*
 * A body for NMI handlers that reads user memory which is not there, as perf's call chains do (copy_from_user_nmi).
 *
 * Like the stand-in of an undefined body it changes all that the C calling convention lets it change, and nothing else. The fault changes
 * CR2, and the IRETQ of its handler (page_fault.S, which fixes the access up) unblocks NMIs.
 *
 * It is the body of images that leave do_nmi undefined, and of those that define do_nmi but leave default_do_nmi undefined.
 *
 * Stack: the return address only; the frame of the fault comes below it.
 */

/* In the lower half, and nothing is mapped there. */
#define NOT_THERE	0x10000

	.text

	.weak	do_nmi
	.weak	default_do_nmi
do_nmi:
default_do_nmi:
	movabsq	$0xb0d1000000000001, %rax
	movl	$NOT_THERE, %ecx

	.globl	copy_from_user_nmi
	.globl	copy_from_user_failed
copy_from_user_nmi:
	movq	(%rcx), %rdx
copy_from_user_failed:
	/* From here on a second NMI may come. */
	movabsq	$0xb0d1000000000002, %rsi
	movabsq	$0xb0d1000000000003, %rdi
	addq	%rdi, %rax
	ret

	.weak	do_nmi_end
	.weak	default_do_nmi_end
do_nmi_end:
default_do_nmi_end:
	int3				/* not reached: gives the labels an address of their own */

	.section __ex_table,"a",@progbits
	.quad	copy_from_user_nmi, copy_from_user_failed
