/* One processor crashes, on its own stack. */
#include "include/xen.h"

	.text

	.globl	context_start
context_start:
	jmp	kexec_crash

#include "crash_kernel.S"
