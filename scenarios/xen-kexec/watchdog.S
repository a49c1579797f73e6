/* Two processors run the hypervisor's code, and none of them asks for a crash: the image's NMI handler does (CRASH_IN_NMI). */
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
	addq	%rdi, %rsi
	jmp	context_end

#include "crash_kernel.S"
