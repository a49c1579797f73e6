/* X2APIC_SELF_NMI: an NMI to the processor itself, in x2APIC mode. RAX, RCX and RDX change. Macro of the assembler only. */
	.macro	X2APIC_SELF_NMI
	movl	$MSR_X2APIC_ID, %ecx
	rdmsr
	movl	%eax, %edx
	movl	$(ICR_NMI | ICR_ASSERT), %eax
	movl	$MSR_X2APIC_ICR, %ecx
	wrmsr
	.endm
