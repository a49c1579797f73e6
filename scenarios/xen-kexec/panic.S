/* Two processors run the hypervisor's code; the first one crashes, on its own stack. */
#include "include/xen.h"

	.text

	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	pushq	%rbx
	addq	%rdi, %rsi
	popq	%rbx
context_end_1:
	jmp	context_end_1

	.globl	context_start
context_start:
	call	kexec_crash

#include "crash_kernel.S"
