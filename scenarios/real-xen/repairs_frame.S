/*
 * do_general_protection(cpu_user_regs *regs), of a fault of the IRETQ to the guest: it looks as if the guest had faulted. In
 * place of the guest, which would be told, this one gives it its stack segment back.
 */
#include "xen.h"

	.text
	.globl	do_general_protection, do_general_protection_end
	.type	do_general_protection, @function
do_general_protection:
	movq	$FLAT_RING3_SS64, UREGS_ss(%rdi)
	ret
do_general_protection_end:
	int3
