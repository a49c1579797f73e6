/*
 * What tells whose RSP an event has interrupted: the saved CS, the gaps of include/syscall_path.S, and the bounds of a stack.
 *
 * Macro of the file that includes it: ENTRY_GAP_ONLY, the gap before SYSRET is not known.
 */
	/* Goes to `yes` if the interrupted code, with pt_regs at RDI, runs on a stack that the user has chosen. Changes RDX. */
	.macro	IF_RSP_OF_USER yes
	testb	$3, PT_CS(%rdi)
	jnz	\yes
	leaq	entry_SYSCALL_64(%rip), %rdx
	cmpq	%rdx, PT_RIP(%rdi)
	jb	.Lno_gap\@
	leaq	entry_SYSCALL_64_safe_stack(%rip), %rdx
	cmpq	%rdx, PT_RIP(%rdi)
	jb	\yes
#ifndef ENTRY_GAP_ONLY
	leaq	sysret_unsafe_stack(%rip), %rdx
	cmpq	%rdx, PT_RIP(%rdi)
	jb	.Lno_gap\@
	leaq	sysret_end(%rip), %rdx
	cmpq	%rdx, PT_RIP(%rdi)
	jb	\yes
#endif
.Lno_gap\@:
	.endm

	/* Goes to `no` unless RSP of the interrupted code is in the stack of `size` bytes below the symbol `top`. Changes RDX. */
	.macro	UNLESS_RSP_IN top, size, no
	movabsq	$\top, %rdx
	cmpq	%rdx, PT_RSP(%rdi)
	ja	\no
	subq	$\size, %rdx
	cmpq	%rdx, PT_RSP(%rdi)
	jbe	\no
	.endm
