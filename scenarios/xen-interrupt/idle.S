/*
 * Context: the hypervisor sets the I/O APIC up, does something, and is idle.
 *
 *	MASKS_PIN	what it does must not be interrupted by the device at pin 4: it masks the pin
 *	RAISES_TPR	… it raises the task priority to the class of the device's vector
 *	FORGETS_TPR	… and does not take that back
 */
	.text

	.globl	context_start, context_end
context_start:
	call	setup_io_apic
at_work:
#if defined(MASKS_PIN)
	call	mask_pin_4
pin_masked:
	addq	%rbx, %rbp
	call	unmask_pin_4
#elif defined(RAISES_TPR) || defined(FORGETS_TPR)
	movl	$3, %eax
	movq	%rax, %cr8
priority_raised:
	addq	%rbx, %rbp
#ifdef RAISES_TPR
	xorl	%eax, %eax
	movq	%rax, %cr8
#endif
#else
	addq	%rbx, %rbp
#endif
idle:
	sti
	hlt
	jmp	idle
context_end:
	jmp	context_end
