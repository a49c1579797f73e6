/*
 * The crash kernel of the contexts here, which include this file last. It is entered by a jump to crash_kernel, and halts when
 * it is prepared; context_end is for a context that does not crash.
 *
 * What relocates a crash kernel leaves it an empty IDT, and it fills one of its own in time. An event in between is the end
 * of the processor. Here it executes one IRET too early, as "make this processor see the code that was just written" does, which
 * is harmless, unless that IRET lets a latched NMI in.
 */
	.globl	crash_kernel
crash_kernel:
	lidt	no_idt(%rip)
	leaq	crash_stack(%rip), %rsp

	movq	%rsp, %rax
	pushq	$__HYPERVISOR_DS32
	pushq	%rax
	pushfq
	pushq	$__HYPERVISOR_CS
	leaq	crash_kernel_unlatched(%rip), %rax
	pushq	%rax
	.globl	crash_kernel_iret
crash_kernel_iret:
	iretq

	.globl	crash_kernel_unlatched
crash_kernel_unlatched:
	/* Its gates for NMI and #MC. */
	leaq	crash_kernel_event(%rip), %rax
	movzwl	%ax, %edx
	movabsq	$(0x8e << 40 | __HYPERVISOR_CS << 16), %rcx
	orq	%rcx, %rdx
	movl	%eax, %ecx
	andl	$0xffff0000, %ecx
	shlq	$32, %rcx
	orq	%rcx, %rdx
	shrq	$32, %rax
	movq	%rdx, crash_idt+16*TRAP_nmi(%rip)
	movq	%rax, crash_idt+16*TRAP_nmi+8(%rip)
	movq	%rdx, crash_idt+16*TRAP_machine_check(%rip)
	movq	%rax, crash_idt+16*TRAP_machine_check+8(%rip)
	lidt	own_idt(%rip)
	.globl	crash_kernel_prepared
crash_kernel_prepared:
	/* Whichever processor has come here, its path ends. */
	hlt
	jmp	crash_kernel_prepared
	.globl	context_end
context_end:
	jmp	context_end

crash_kernel_event:
	iretq

	.data
	.balign	16
crash_idt:
	.skip	16*20
no_idt:
	.word	0
	.quad	0
own_idt:
	.word	16*20-1
	.quad	crash_idt
	.balign	16
	.skip	256
crash_stack:
	.quad	0
