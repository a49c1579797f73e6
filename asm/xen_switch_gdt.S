/*
 * A switch between two address spaces of which each maps a GDT of its own. To be linked with an NMI handler that bears any CR3,
 * as asm/paranoid.S with PTI.
 *
 * Source: 27a9d6d614 (Xen, 2005): CR3 was loaded before GDTR. In between GDTR points to what the new page tables do not map.
 * The delivery of an event reads the descriptor of the gate's CS from there: #PF, whose delivery reads it again: #DF, and again.
 *
 * Macro:
 *	LGDT_FIRST	the new GDT, which both map, is loaded while CR3 is still the old one
 *
 * old_gdt lies in the kernel's data, which only the kernel's CR3 maps; the new one is the platform's. The thread stack is mapped in
 * the first alone: nothing is pushed or popped with the second. Changes RAX and RCX.
 */
#include "include/linux.h"

	.section .entry.text,"ax",@progbits

	/* The context calls it with GDTR at old_gdt. */
	.globl	switch_there_and_back
switch_there_and_back:
	movq	%cr3, %rcx
	movq	%rcx, %rax
	orq	$CR3_USER, %rax
#ifdef LGDT_FIRST
	lgdt	%gs:new_gdt_pointer
	movq	%rax, %cr3
#else
	movq	%rax, %cr3
switch_middle:
	lgdt	%gs:new_gdt_pointer
#endif
switched:
	movq	%cr3, %rax
	movq	%rcx, %cr3
	ret
switch_end:
	int3				/* not reached: gives the label an address of its own */

	.data
	.balign	8
old_gdt:
	.quad	0, 0
	.quad	0x00af9b000000ffff	/* 0x10: code, ring 0 */
	.quad	0x00cf93000000ffff	/* 0x18: data, ring 0 */
	.quad	0
	.quad	0x00cff3000000ffff	/* 0x28: data, ring 3 */
	.quad	0x00affb000000ffff	/* 0x30: code, ring 3 */
old_gdt_end:

	.globl	old_gdt_pointer
old_gdt_pointer:
	.word	old_gdt_end - old_gdt - 1
	.quad	old_gdt

	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8
new_gdt_pointer:
	.word	0x7f
	.quad	cpu_gdt
