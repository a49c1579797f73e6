/* Two processors run the hypervisor's code, and both crash. The one that comes late waits for the other's NMI. */
#include "include/xen.h"

	.text

	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	call	kexec_crash
.Lstopped_1:
	hlt
	jmp	.Lstopped_1
context_end_1:
	jmp	context_end_1

	.globl	context_start
context_start:
	call	kexec_crash
.Lstopped_0:
	hlt
	jmp	.Lstopped_0

#include "crash_kernel.S"
