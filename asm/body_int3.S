/*
 * A body for NMI handlers that executes a real INT3.
 *
 * Like the stand-in of an undefined body it changes all that the C calling convention lets it change, and
 * nothing else. Unlike it, it breaks the NMI latch by itself, once in each run: the breakpoint handler's
 * IRETQ unblocks NMIs, and the second half of the body runs without that protection.
 *
 * It is the body of images that leave do_nmi undefined, and of those that define do_nmi but leave
 * default_do_nmi undefined: one code under two weak names.
 *
 * Stack: the return address only; the breakpoint's frame comes below it, on the same stack (no IST).
 */

	.text

	.weak	do_nmi
	.weak	default_do_nmi
do_nmi:
default_do_nmi:
	/* regs and error code have been taken note of: half of the caller-saved registers go. */
	movabsq	$0xb0d1000000000001, %rax
	movabsq	$0xb0d1000000000002, %rcx
	movabsq	$0xb0d1000000000003, %rdx
	movabsq	$0xb0d1000000000004, %rsi

	int3

	/* From here on a second NMI may come. It must give these back as they are, and RFLAGS too. */
	movabsq	$0xb0d1000000000005, %rdi
	movabsq	$0xb0d1000000000006, %r8
	movabsq	$0xb0d1000000000007, %r9
	movabsq	$0xb0d1000000000008, %r10
	movabsq	$0xb0d1000000000009, %r11
	addq	%rdi, %rax
	ret

	.weak	do_nmi_end
	.weak	default_do_nmi_end
do_nmi_end:
default_do_nmi_end:
	int3				/* not reached: gives the labels an address of their own */
