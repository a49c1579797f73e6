/*
 * The hypervisor, about to leave for a 32-bit PV guest: SMEP and SMAP are on, in CR4 and in the copy. What the exit finds
 * at its end stays in RBX; then CR4 becomes the hypervisor's again, as at the next entry.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	movq	%cr4, %rax
	orq	$(3 << 20), %rax
	movq	%rax, %gs:cr4_copy
	movq	%rax, %cr4
leave_for_guest:
	call	exit_to_compat_guest
	movl	%eax, %ebx
	movq	%cr4, %rax
	orq	$(3 << 20), %rax
	movq	%rax, %gs:cr4_copy
	movq	%rax, %cr4
context_end:
	jmp	context_end
