/*
 * native_iret: the last step of every return of Linux 3.16 and later, with espfix64 (3891a04aafd6, 3.16).
 *
 * An IRET to 16-bit code on a 16-bit stack loads SP only: bits 31:16 of the user's ESP stay the kernel's, which tells user mode
 * where the kernel's stacks lie. So a frame whose SS is in the LDT is not returned by from the stack it is on, but from a small one at
 * an address that has the user's bits 31:16: the frame is copied there, word by word, RSP goes there, and the IRETQ is executed
 * there. In the kernel that stack is mapped 65536 times, 64 KiB apart, and the user's bits select one. They only matter to 16-bit
 * code, which the machine here does not run: one place is enough, and one instruction that loads its address.
 *
 * At native_iret: RSP at the frame. User GS if the frame is the user's, for the SWAPGS comes before; only the user's has such an SS.
 * Below the frame two words are overwritten.
 *
 *	RSP+32 SS  RSP+24 RSP  RSP+16 RFLAGS  RSP+8 CS  RSP RIP		the frame
 *	RSP-8  rax  RSP-16 rdi						used while it is copied
 *
 *	espfix_stack+40 SS  +32 RSP  +24 RFLAGS  +16 CS  +8 RIP  +0 rax
 */
#ifndef ENTRACE_NATIVE_IRET_S
#define ENTRACE_NATIVE_IRET_S

/* The bit of a selector that says LDT. */
#define SEGMENT_TI_MASK		4

	.text

native_iret:
	testb	$SEGMENT_TI_MASK, 32(%rsp)
	jnz	native_irq_return_ldt
	.globl	native_irq_return_iret
native_irq_return_iret:
	iretq

native_irq_return_ldt:
	pushq	%rax
	pushq	%rdi
	swapgs
	movq	%gs:espfix_waddr, %rdi
	movq	%rax, (%rdi)
espfix_rip:
	movq	16(%rsp), %rax
	movq	%rax, 8(%rdi)
espfix_cs:
	movq	24(%rsp), %rax
	movq	%rax, 16(%rdi)
espfix_rflags:
	movq	32(%rsp), %rax
	movq	%rax, 24(%rdi)
espfix_ss:
	movq	48(%rsp), %rax
	movq	%rax, 40(%rdi)
espfix_rsp:
	movq	40(%rsp), %rax
	movq	%rax, 32(%rdi)
	movq	%gs:espfix_raddr, %rax
	popq	%rdi
	swapgs
	movq	%rax, %rsp
espfix_stack_in_use:
	popq	%rax
	jmp	native_irq_return_iret

	.data
	.balign	64
espfix_stack:
	.fill	8, 8, 0

	/* The same memory, by the address for writing and by that for reading; in the kernel these are two mappings. */
	.section .data..percpu,"aw",@progbits
	.balign	8
espfix_waddr:
	.quad	espfix_stack
espfix_raddr:
	.quad	espfix_stack

	.text
#endif
