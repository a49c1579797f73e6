/*
 * What FRED's entry points leave to the platform: every event but the NMI. Weak, like all defaults.
 *
 * RDI: pt_regs, whose tail is the frame that the processor has pushed. Returns with all registers that the C calling
 * convention keeps; the entry code restores the others.
 */
#include "../include/linux.h"

/* Bits 63:32 of the SS word. */
#define FRED_VECTOR_MASK	0xff
#define FRED_TYPE_SHIFT		16
#define FRED_TYPE_MASK		0xf
#define FRED_TYPE_EXTINT	0
#define FRED_TYPE_HWEXC		3
#define VECTOR_MC		18

	.section .entry.text,"ax",@progbits

	.weak	fred_other_event
fred_other_event:
	movl	PT_SS+4(%rdi), %eax
	movl	%eax, %ecx
	shrl	$FRED_TYPE_SHIFT, %ecx
	andl	$FRED_TYPE_MASK, %ecx
	jz	.Lfred_interrupt
	cmpl	$FRED_TYPE_HWEXC, %ecx
	jne	.Lfred_over
	andl	$FRED_VECTOR_MASK, %eax
	cmpl	$VECTOR_MC, %eax
	jne	.Lfred_over

	/* #MC: as with an IDT, MCIP must be clear before the next one comes. */
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
.Lfred_over:
	ret

	/* A maskable interrupt: the EOI, as in plain_interrupt. */
.Lfred_interrupt:
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lfred_xapic
	movl	$MSR_X2APIC_EOI, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	ret

.Lfred_xapic:
	testl	$APIC_BASE_EN, %eax
	jz	.Lfred_over
	movl	$0, local_apic_page+XAPIC_EOI
	ret
