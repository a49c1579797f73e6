/*
 * pv_hypercall, as if the guest had asked for an IRET to a stack segment that does not exist: Xen leaves by IRETQ then, which
 * faults.
 */
#include "xen.h"

	.text
	.globl	pv_hypercall, pv_hypercall_end
	.type	pv_hypercall, @function
pv_hypercall:
	andl	$~TRAP_syscall, UREGS_entry_vector(%rdi)
	movq	$0xe07b, UREGS_ss(%rdi)
	ret
pv_hypercall_end:
	int3
