/*
 * Where a guest's SYSCALL arrives. It has loaded CS and SS, but not RSP: for three instructions the hypervisor runs with a stack
 * pointer that the guest chose. There is no per-CPU segment; each processor has a stub of its own that knows its stack. RAX
 * waits in the word that will be the guest's SS. Behind it the frame is the one that IRETQ would want.
 */
	.globl	lstar_enter
lstar_enter:
	movabsq	%rax, stack_bottom-8
	movq	%rsp, %rax
	movabsq	$stack_bottom-8, %rsp
	/* The gap ends here. */
	pushq	%rax
	movq	8(%rsp), %rax
	movq	$FLAT_RING3_SS64, 8(%rsp)
	pushq	%r11
	pushq	$FLAT_RING3_CS64
	pushq	%rcx
