/*
 * Context: a watchpoint on a word of its own, one more on TARGET if the kernel lets it, and a write of the word.
 *
 *	TARGET	DEBUG_STACK, GDT, IDT, TSS: what the delivery of #DB uses; ENTRY_WORD: what the handler reads first;
 *		NEAR_PERCPU: an address that is none of these, with a mask that leaves 32 bits out
 */
#define DEBUG_STACK	nmi_stack_top+4096-8
#define IDT		0xfffffe0000000010
#define GDT		0xfffffe0000001010
#define TSS		cpu_tss+0x34

	.text

	.globl	context_start, context_end
context_start:
	xorl	%esi, %esi
#if defined(TARGET_ENTRY_WORD)
	rdgsbase %rdi
	addq	$entry_word, %rdi
#elif defined(TARGET_NEAR_PERCPU)
	rdgsbase %rdi
	andq	$0xffffffff80000000, %rdi
	movl	$-1, %esi
#else
	movabsq	$TARGET, %rdi
#endif
	call	install_watchpoint
	leaq	word(%rip), %rax
	movq	%rax, %dr0
	movq	%dr7, %rax
	orl	$0x90002, %eax
	movq	%rax, %dr7
	movq	%rbp, word(%rip)
	addq	%rbx, %rbp
context_end:
	jmp	context_end

	.data
	.balign	8
word:
	.quad	0
