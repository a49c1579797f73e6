/*
 * A process that enters the kernel, and cannot be returned to: what it goes back to is changed meanwhile, by a debugger or by
 * another thread of it.
 *
 * It belongs to the code under test, for it is not given back (context end-of-process.S).
 *
 *	BY_INT80	it enters by INT 0x80; otherwise by SYSCALL
 *	BAD_RIP		RIP becomes an address that is not canonical
 *	BAD_SS		its stack segment, one of the TLS segments in the GDT, is made not present
 *	BAD_CS		so is its code segment
 */
#include "entry.S"

#define TLS_SS			0x63
#define TLS_CS			0x6b

	.globl	start_process
#ifndef BAD_RIP
	.text
start_process:
	lgdt	gdt_register(%rip)
#ifdef BAD_SS
	pushq	$TLS_SS
#else
	pushq	$__USER_DS
#endif
	pushq	$user_stack_top
	pushq	$0x202
#ifdef BAD_CS
	pushq	$TLS_CS
#else
	pushq	$__USER_CS
#endif
	pushq	$program
	swapgs
	iretq
#endif

	.text
	.globl	before_return
before_return:
#ifdef BAD_RIP
	movabsq	$0x800000000000, %rax
	movq	%rax, 8+PT_RIP(%rsp)
	movq	%rax, 8+PT_RCX(%rsp)
#endif
#ifdef BAD_SS
	andb	$0x7f, tls_data+5(%rip)
#endif
#ifdef BAD_CS
	andb	$0x7f, tls_code+5(%rip)
#endif
	ret

	.section .text.user,"ax",@progbits
#ifdef BAD_RIP
start_process:
#endif
program:
	addq	%rdi, %rsi
#ifdef BY_INT80
	int	$0x80
#else
	syscall
#endif
	notq	%rbx			/* not reached */
	jmp	program

	.data
	.balign	8
gdt_register:
	.word	gdt_end-gdt-1
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
	.quad	0
	.quad	0
tls_data:
	.quad	0x00cff3000000ffff	/* 0x63 */
tls_code:
	.quad	0x00affb000000ffff	/* 0x6b */
gdt_end:

	.section .data.user,"aw",@progbits
	.balign	16
	.skip	0x400
user_stack_top:
	.quad	0
