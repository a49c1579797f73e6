/*
 * A GDT of one's own with an LDT, which a process can have set up: macros for code and data. The LDT has one segment, a stack
 * of 16 bits (selector LDT_STACK); ldt_stack is its descriptor. Macros only.
 */
#ifndef ENTRACE_LDT_S
#define ENTRACE_LDT_S

#include "linux.h"

#define LDT_SELECTOR		0x50
/* Entry 1 of the LDT, RPL 3. */
#define LDT_STACK		0xf
/* Byte of a descriptor with the bit Present, and that bit. */
#define DESCRIPTOR_TYPE		5
#define DESCRIPTOR_PRESENT	0x80

/* RAX, RCX and RDX change. */
	.macro	load_ldt
	/* Limit 15, present, type 2; the base in four pieces. */
	leaq	ldt(%rip), %rax
	movl	%eax, %ecx
	andl	$0xffffff, %ecx
	shlq	$16, %rcx
	movabsq	$0x82000000000f, %rdx
	orq	%rdx, %rcx
	movl	%eax, %edx
	shrl	$24, %edx
	shlq	$56, %rdx
	orq	%rdx, %rcx
	movq	%rcx, ldt_descriptor(%rip)
	shrq	$32, %rax
	movq	%rax, ldt_descriptor+8(%rip)
	lgdt	gdt_register(%rip)
	movl	$LDT_SELECTOR, %eax
	lldt	%ax
	.endm

	.macro	define_ldt
	.data
	.balign	8
gdt_register:
	.word	ldt-gdt-1
	.quad	gdt
	.balign	8
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10: kernel code */
	.quad	0x00cf93000000ffff	/* 0x18: kernel data */
	.quad	0x00cffb000000ffff	/* 0x23: user code, 32 bits */
	.quad	0x00cff3000000ffff	/* 0x2b: user data */
	.quad	0x00affb000000ffff	/* 0x33: user code, 64 bits */
	.quad	0
	.quad	0			/* 0x40: the TSS, which is loaded already */
	.quad	0
ldt_descriptor:
	.quad	0
	.quad	0
ldt:
	.quad	0
ldt_stack:
	.quad	0x0000f3000000ffff
	.endm

#endif
