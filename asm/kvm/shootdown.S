/*
 * Two processors: the first crashes, stops the second by an NMI and waits until it is stopped; the second runs a guest. The host's
 * IDT, of which only the NMI gate is there, lies in memory that can be written.
 */
#include "kvm/guest.S"

	.text
	.globl	context_start, context_end
context_start:
	cli
wait_ready:
	pause
	cmpl	$0, guest_ready(%rip)
	je	wait_ready
crash:
	call	nmi_shootdown
	movl	$MSR_X2APIC_ICR, %ecx
	movl	$1, %edx			/* to the second processor */
	movl	$ICR_NMI, %eax
	wrmsr
wait_stopped:
	pause
	cmpl	$0, cpu_stopped(%rip)
	je	wait_stopped
context_end:
	jmp	context_end

	guest_setup _1, 0x40000
	leaq	nmi(%rip), %rax
	movw	%ax, host_idt+16*2(%rip)
	shrq	$16, %rax
	movw	%ax, host_idt+16*2+6(%rip)
	shrq	$16, %rax
	movl	%eax, host_idt+16*2+8(%rip)
	leaq	host_idt(%rip), %rax
	vmput	HOST_IDTR_BASE
	movq	%rax, host_idt_pointer+2(%rip)
	lidt	host_idt_pointer(%rip)
	movl	$1, guest_ready(%rip)
	guest_launch _1

guest:
	addq	%rdi, %rsi
	leaq	(%rbx,%rcx), %r10
	adcq	%r13, %r14
guest_end:
	vmcall

	guest_data

	.data
guest_ready:
	.long	0
	.balign	16
	.globl	host_idt
host_idt:
	.skip	16*2
	.word	0, __KERNEL_CS, 0x8e02, 0
	.quad	0
host_idt_pointer:
	.word	16*3-1
	.quad	0
