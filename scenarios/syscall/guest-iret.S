/* Context: the kernel of a PV guest returns to itself by hypercall, with IF clear in the RFLAGS that it asks for. */
#include "xen.h"

	.section .text.user,"ax",@progbits

	.globl	context_start, context_end
context_start:
	movq	%rsp, %rcx
	pushq	$FLAT_RING3_SS64
	pushq	%rcx
	pushq	$2
	pushq	$FLAT_RING3_CS64
	leaq	returned(%rip), %rax
	pushq	%rax
	syscall
returned:
	addq	%rdi, %rsi
	notq	%rbx
context_end:
	jmp	context_end
