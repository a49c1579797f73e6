/*
 * Handlers for what an image has none for, the same on each platform, whose header comes before. Weak, like all
 * defaults: an image that defines the symbol itself gets its own.
 *
 * They return at once, by IRETQ, hence unblock NMIs, and change no register: so they need neither pt_regs nor SWAPGS.
 * Each has its own code, so that a boundary has one name.
 *
 * Stack at entry, from RSP up: [error code,] RIP, CS, RFLAGS, RSP, SS.
 */

	.section ENTRY_SECTION,"ax",@progbits

/* Vectors without an error code: 0, 1, 3 to 7, 16, 18, 19. */

	.weak	divide_error
divide_error:
	iretq

	.weak	debug
debug:
	iretq

	.weak	int3
int3:
	iretq

	.weak	overflow
overflow:
	iretq

	.weak	bounds
bounds:
	iretq

	.weak	invalid_op
invalid_op:
	iretq

	.weak	device_not_available
device_not_available:
	iretq

	.weak	coprocessor_error
coprocessor_error:
	iretq

/* #MC: IA32_MCG_STATUS is cleared before the IRETQ, or the next machine check would shut the processor down. */

	.weak	machine_check
machine_check:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.weak	simd_coprocessor_error
simd_coprocessor_error:
	iretq

/*
 * Any interrupt from outside that the image has no handler for. One from the INTR pin needs no EOI: with nothing in
 * service in the local APIC it has no effect, otherwise it ends the interrupt whose handler was interrupted.
 */

	.weak	plain_interrupt
plain_interrupt:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lxapic
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
.Linterrupt_over:
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

.Lxapic:
	testl	$APIC_BASE_EN, %eax
	jz	.Linterrupt_over
	END_INTERRUPT_IN_PAGE
	jmp	.Linterrupt_over

/* Vectors with an error code, 8, 10 to 14, 17, 29: IRETQ does not know of it. */

	.weak	double_fault
double_fault:
	addq	$8, %rsp
	iretq

	.weak	invalid_TSS
invalid_TSS:
	addq	$8, %rsp
	iretq

	.weak	segment_not_present
segment_not_present:
	addq	$8, %rsp
	iretq

	.weak	stack_segment
stack_segment:
	addq	$8, %rsp
	iretq

	.weak	general_protection
general_protection:
	addq	$8, %rsp
	iretq

	.weak	page_fault
page_fault:
	addq	$8, %rsp
	iretq

	.weak	vmm_communication
vmm_communication:
	addq	$8, %rsp
	iretq

	.weak	alignment_check
alignment_check:
	addq	$8, %rsp
	iretq
