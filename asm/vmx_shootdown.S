/*
 * A crash stops the other processors by an NMI with another handler than usual. One of them runs a guest.
 *
 * Source: Xen cbeeaa7da0 (2015), a consequence of 7dd3b06ff0: since the exit path calls the NMI handler directly, it does not
 * look at the IDT.
 *
 *	default			nmi_shootdown writes another address into the NMI gate of the IDT: an NMI that comes as a VM exit does
 *				not see it, and its processor goes on
 *	NMI_CALLBACK		it changes the function that both the entry through the IDT and the exit path call
 *
 * In a crash the stopped processor halts for good. Here its handler notes the stop and returns, so that each path has an end.
 * To be linked with vmx_nmi_exit.S, with the same definitions. Needs the context asm/kvm/shootdown.S.
 *
 * NMI stack: hardware frame, orig_rax, the registers: pt_regs.
 */
#include "include/vmx.h"

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
#ifdef NMI_CALLBACK
	call	*nmi_callback(%rip)
#else
	call	do_nmi
#endif
	POP_REGS
	addq	$8, %rsp
	iretq

nmi_crash:
	pushq	$-1
	PUSH_REGS
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi_crash
	POP_REGS
	addq	$8, %rsp
	iretq

do_nmi_crash:
	movl	$1, cpu_stopped(%rip)
	jmp	do_nmi				/* what else an NMI means is served as ever */

nmi_as_usual:
	jmp	do_nmi

	/* What the crashing processor calls before it sends the NMI. Changes RAX. */
	.globl	nmi_shootdown
nmi_shootdown:
#ifdef NMI_CALLBACK
	leaq	do_nmi_crash(%rip), %rax
	movq	%rax, nmi_callback(%rip)
#else
	/* Both handlers are within 64 KiB: one store of the lowest 16 bits of the address changes the gate at once. */
	leaq	nmi_crash(%rip), %rax
	movw	%ax, host_idt+16*2(%rip)
#endif
	ret

	.data
	.balign	8
	.globl	cpu_stopped
cpu_stopped:
	.long	0
#ifdef NMI_CALLBACK
	.balign	8
	.globl	nmi_callback
nmi_callback:
	.quad	nmi_as_usual
#endif
