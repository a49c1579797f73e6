/*
 * Loading a selector into GS for the user, as a context switch does: the user's base is swapped in for it, since the load
 * changes the base that is in force. Between the two SWAPGS ring 0 runs with the user's base, far from any entry or exit.
 */
#include "include/linux.h"

	.text

	.globl	context_start
	.globl	context_end
context_start:
	pushfq
	addq	%rdi, %rsi
	movl	$__USER_DS, %eax
	cli
	swapgs
gs_change:
	movl	%eax, %gs
	swapgs
gs_changed:
	movl	%gs, %ebx
	popfq
	notq	%r15
context_end:
	jmp	context_end
