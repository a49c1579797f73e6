/*
 * A system call that does nothing, for images that are about its gaps: from entry_SYSCALL_64 to entry_SYSCALL_64_safe_stack, and
 * from sysret_unsafe_stack to sysret_end, ring 0 has an RSP that the user has chosen.
 */
	.text

	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
entry_SYSCALL_64_safe_stack:
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	%rcx
	movl	$0, %eax
	popq	%rcx
	popq	%r11
	popq	%rsp
sysret_unsafe_stack:
	swapgs
	sysretq
sysret_end:
	int3				/* not reached: gives the label an address of its own */
