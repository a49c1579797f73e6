/*
 * The kernel's GS base for code that may have interrupted ring 0 anywhere: the saved CS does not tell whose base is in
 * force, the base itself does. EBX, which C keeps, holds 1 for "leave GS alone". LOAD_KERNEL_GS also changes RAX, RCX and RDX.
 */
	.macro	LOAD_KERNEL_GS
	movl	$1, %ebx
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	.Lkernel_gs\@
	swapgs
	xorl	%ebx, %ebx
.Lkernel_gs\@:
	.endm

	.macro	GIVE_BACK_GS
	testl	%ebx, %ebx
	jnz	.Lgs_kept\@
	swapgs
.Lgs_kept\@:
	.endm
