/*
 * The end of Xen's way into a crash kernel on a processor with FRED: from the hypervisor's stack to that of the stub which
 * moves the crash kernel into place. For profiles with the knob fred.
 *
 * Source: 4665d17967 (races.md X-13), which turns FRED off before the stub changes stacks.
 *
 * With FRED Xen leaves NMIs at stack level 0: they continue below RSP, whatever that is, and the hypervisor finds its own data
 * from there. The stub's stack is not one of its own. With FRED off, NMIs go by the IDT, whose gate for them is trap_nop by
 * now: five words on any stack, and back. (What comes next in the stub, new page tables and an empty IDT, no handler of Xen
 * survives in either way. The page tables are left out here.)
 *
 * RELOC_WITH_FRED: the stub changes stacks first.
 */
#include "include/xen.h"
#include "include/xen_frame.S"

/* The upper half of the SS word: the vector is in its bits 7:0. */
#define FRED_VECTOR_MASK	0xff
#define FRED_RING0_ENTRY	256
#define CR4_FRED_BIT		32

	.text
	.balign	4096

	.globl	entry_FRED_R3
entry_FRED_R3:
	ud2				/* there is no ring 3 any more */

	.org	entry_FRED_R3+FRED_RING0_ENTRY, 0xcc

	.globl	entry_FRED_R0
entry_FRED_R0:
	SAVE_ALL
	movq	%rsp, %rdi
	call	entry_from_xen
	RESTORE_ALL
	erets

/* entry_from_xen(regs) */
entry_from_xen:
	movl	UREGS_ss+4(%rdi), %eax
	andl	$FRED_VECTOR_MASK, %eax
	cmpl	$TRAP_nmi, %eax
	jne	fatal_trap

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	GET_PERCPU %rax
	incl	nmi_count(%rax)
	ret
do_nmi_end:

/* In the IDT since before FRED was turned on. */
	.globl	nmi
nmi:
	jmp	fatal_trap

	.globl	trap_nop
trap_nop:
	iretq

	.globl	kexec_crash
kexec_crash:
	cli
	movq	idt(%rip), %rdi
	addq	$16*TRAP_nmi, %rdi
	leaq	trap_nop(%rip), %rsi
	call	_set_gate_lower

	.globl	kexec_reloc
kexec_reloc:
#ifdef RELOC_WITH_FRED
	leaq	reloc_stack(%rip), %rsp
#endif
	movq	%cr4, %rax
	btrq	$CR4_FRED_BIT, %rax
	movq	%rax, %cr4
#ifndef RELOC_WITH_FRED
	leaq	reloc_stack(%rip), %rsp
#endif
	jmp	crash_kernel

#include "include/xen_gates.S"
#include "include/xen_fatal.S"

	.data
	.balign	16
idt:
	.quad	idt_table
	.balign	16
	.skip	512
reloc_stack:
	.quad	0

	.section .data..percpu,"aw",@progbits
	.balign	8
nmi_count:
	.long	0
	.long	0
