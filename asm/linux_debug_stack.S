/*
 * The debug stack of Linux 3.3 to 5.0 and how NMIs and the handler of #DB keep breakpoints from starting on it anew.
 *
 * #DB and #BP share one IST stack. If one of them comes while the handler of the other runs there, its frame goes over the first one's.
 * So whoever may hit a breakpoint while that stack is in use loads a second IDT, in which the two gates have no IST, and loads the
 * first one again afterwards:
 *	- an NMI that has interrupted code on the debug stack, for the time of its body (42181186ad4d, 228bdaa95fb8, 3.3);
 *	- the handler of #DB, while it calls what traces (5963e317b1e9, 3.5).
 * The two nest, so the loads are counted (f8988175fd70, 3.4). update_debug_stack, per CPU, is the NMI's note that it has loaded the
 * second IDT (cleared since c0525a6972d3, 3.3).
 *
 * Macros, each for one way to get it wrong:
 *
 *	NO_COUNT	the loads are not counted: the inner user's second load ends the outer one's protection
 *	FLAG_KEPT	the note is never cleared: each later NMI loads the first IDT when it is done
 *
 * The entry of NMIs is the plain one (asm/linux_nmi_plain.S), for nothing here unblocks NMIs before the end of the body.
 * The context makes the second IDT, nmi_idt (scenarios/linux-nmi-c/two-idts.S).
 *
 * Debug stack, below the hardware frame: rax, rcx, rdx, rsi, rdi, r8 to r11.
 */

	.globl	ist_3
	.set	ist_3, 3

#include "linux_nmi_plain.S"

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	/* The debug stack lies right above the NMI stack. */
	movabsq	$nmi_stack_top, %rax
	movq	PT_RSP(%rdi), %rcx
	subq	%rax, %rcx
	cmpq	$EXCEPTION_STKSZ, %rcx
	ja	.Lother_stack
	call	debug_stack_set_zero
	movl	$1, %gs:update_debug_stack
.Lother_stack:
	call	default_do_nmi
nmi_body_done:
	cmpl	$0, %gs:update_debug_stack
	je	.Lno_update
	call	debug_stack_reset
#ifndef FLAG_KEPT
	movl	$0, %gs:update_debug_stack
#endif
.Lno_update:
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

debug_stack_set_zero:
#ifndef NO_COUNT
	incl	%gs:debug_stack_usage
#endif
	lidt	nmi_idt_descr(%rip)
	ret

debug_stack_reset:
#ifndef NO_COUNT
	decl	%gs:debug_stack_usage
	jnz	.Lstill_in_use
#endif
	lidt	idt_descr(%rip)
.Lstill_in_use:
	ret

/* #DB, with a call of what traces; a breakpoint may be hit in there. */
	.globl	debug
debug:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	call	debug_stack_set_zero
debug_protected:
	call	trace
	call	debug_stack_reset
debug_restore:
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rdx
	popq	%rcx
	popq	%rax
debug_return:
	iretq

	.data
	.balign	16
	.globl	nmi_idt
nmi_idt:
	.zero	20*16
	.globl	idt_descr
idt_descr:
	.zero	10
	.balign	8
nmi_idt_descr:
	.word	20*16-1
	.quad	nmi_idt

	.section .data..percpu,"aw",@progbits
	.balign	8
debug_stack_usage:
	.long	0
update_debug_stack:
	.long	0
