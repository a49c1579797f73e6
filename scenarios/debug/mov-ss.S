/*
 * Context: ring 3 loads SS from a word with a watchpoint on it, and goes through a door to ring 0 with the next instruction.
 *
 * The kernel's part is a debugger's: it sets DR0 and DR7 (a data breakpoint on the word), or TF, and starts the program.
 *
 *	THEN_SYSCALL, THEN_SYSENTER, THEN_INT80, THEN_INT3	which door
 *	STEPPED		no watchpoint: the program runs with TF set
 *	WITH_NT, WITH_AC	the program sets these flags too before the door
 *	STEPS_THROUGH_SYSCALL, NT_THROUGH_SYSCALL	TF or NT is left out of the flag mask of SYSCALL
 *	DR6_BD_SET	DR6.BD is set already when the program starts, as a guest can do
 */
#include "entry.S"

#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_FMASK		0xc0000084

	.text

	.globl	context_start, context_end
context_start:
#ifdef THEN_SYSENTER
	xorl	%edx, %edx
	movl	$MSR_SYSENTER_CS, %ecx
	movl	$__KERNEL_CS, %eax
	wrmsr
	movl	$MSR_SYSENTER_EIP, %ecx
	leaq	entry_SYSENTER(%rip), %rax
	movl	$-1, %edx
	wrmsr
	movl	$MSR_SYSENTER_ESP, %ecx
	movq	%gs:cpu_current_top_of_stack, %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	wrmsr
#endif
#if defined(STEPS_THROUGH_SYSCALL) || defined(NT_THROUGH_SYSCALL)
	movl	$MSR_FMASK, %ecx
	rdmsr
#ifdef STEPS_THROUGH_SYSCALL
	andl	$~RFLAGS_TF, %eax
#else
	andl	$~RFLAGS_NT, %eax
#endif
	wrmsr
#endif
#ifdef DR6_BD_SET
	movl	$0xffff2ff0, %eax
	movq	%rax, %dr6
#endif
#ifdef STEPPED
#define USER_FLAGS	(0x202 | RFLAGS_TF)
#else
#define USER_FLAGS	0x202
	movq	$watched, %rax
	movq	%rax, %dr0
	movl	$0x70402, %eax
	movq	%rax, %dr7
#endif
	pushq	$__USER_DS
	pushq	$user_stack_top
	pushq	$USER_FLAGS
	pushq	$__USER_CS
	pushq	$program
	swapgs
	iretq

	.section .text.user,"ax",@progbits
program:
#if defined(WITH_NT) || defined(WITH_AC)
	pushfq
#ifdef WITH_NT
	orl	$RFLAGS_NT, (%rsp)
#endif
#ifdef WITH_AC
	orl	$RFLAGS_AC, (%rsp)
#endif
	popfq
#endif
	movq	$back, %rcx
	movq	%rsp, %rdx
#ifndef STEPPED
	movw	watched, %ss
#endif
#if defined(THEN_SYSCALL)
	syscall
#elif defined(THEN_SYSENTER)
	sysenter
#elif defined(THEN_INT80)
	int	$0x80
#elif defined(THEN_INT3)
	int3
#else
#error which door?
#endif
back:
	addq	%rdi, %rsi
	notq	%rbx
context_end:
	jmp	context_end

	.section .data.user,"aw",@progbits
	.balign	16
watched:
	.quad	__USER_DS
	.skip	0x100
user_stack_top:
