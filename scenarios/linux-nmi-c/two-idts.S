/*
 * Context "two-idts": ring 0 code that first makes the second IDT, a copy of the first one in which #DB and #BP have no IST, as the
 * kernel does when it starts; at idt_ready it begins with what is to be interrupted.
 */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	sidt	idt_descr(%rip)
	movq	idt_descr+2(%rip), %rsi
	leaq	nmi_idt(%rip), %rdi
	movl	$40, %ecx
	cld
	rep movsq
	andb	$0xf8, nmi_idt+1*16+4(%rip)
	andb	$0xf8, nmi_idt+3*16+4(%rip)
idt_ready:
	pushq	%rbx
	addq	%rdi, %rsi
	adcq	%r13, %r14
	popq	%rdi
context_end:
	jmp	context_end
