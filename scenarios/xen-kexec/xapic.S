/* As panic.S, on two processors whose local APICs are in xAPIC mode. The first one crashes once the second one has got there. */
#include "include/xen.h"

	/* From x2APIC mode, by way of off. */
	.macro	USE_XAPIC
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	andl	$~(APIC_BASE_EN | APIC_BASE_EXTD), %eax
	wrmsr
	orl	$APIC_BASE_EN, %eax
	wrmsr
	movabsq	$local_apic_page, %rax
	movl	$0x1ff, XAPIC_SVR(%rax)
	.endm

	.text

	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	USE_XAPIC
	movl	$1, ready(%rip)
	pushq	%rbx
	popq	%rbx
context_end_1:
	jmp	context_end_1

	.globl	context_start
	.globl	context_crashes
context_start:
	USE_XAPIC
.Lwait:
	pause
	cmpl	$0, ready(%rip)
	je	.Lwait
context_crashes:
	call	kexec_crash

	.data
	.balign	8
ready:
	.long	0
	.text

#include "crash_kernel.S"
