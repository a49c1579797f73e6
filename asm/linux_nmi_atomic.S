/*
 * NMI entry whose early part is completed by whoever interrupts it: after the idea of "atomic IST entry" (Lai Jiangshan, RFC of April
 * 2023), written afresh for one case.
 *
 * What no handler on an IST stack can bear is that NMIs are unblocked before it has moved its frame: the next one overwrites it (asm/linux_nmi.S
 * up to repeat_nmi). But NMIs are unblocked by somebody: the IRET of #MC's or #DB's handler. Those run on stacks of their own, and
 * while they do the frame is still there. So they look where they came from: if it is between nmi and repeat_nmi, they do what the NMI's
 * entry would have done, all of it, and return to behind it. What the entry did itself does not matter, for it writes the same words.
 *
 * At the other end, an NMI that has said that its stack is free, and has not executed its IRET, has the same trouble if NMIs have been
 * unblocked in its body: #MC or #DB comes, and an NMI in the handler of that. It sees neither the word nor the stack of an NMI. So #MC
 * and #DB take the NMI's word back, and NMIs look at their frame until they have.
 *
 * To the rest of the kernel the entry is one step then; which is what "atomic" means. An SMI tells nobody: if it unblocks NMIs (policies
 * iret-unblocks, rsm-unblocks), the next NMI is the first to learn of it, and the frame is gone. At nmi+0 there is no copy of any
 * word of it anywhere.
 *
 * The layout of the NMI stack and the algorithm are those of the kernel path of asm/linux_nmi.S, for NMIs from ring 3 too. For #MC and #DB to
 * be able to complete it, the early part may change one register (rdx, saved first), no GS base, and nothing that it reads again.
 *
 * With NO_REPAIR #MC and #DB just return. With NESTED_BY_RET a nested NMI leaves by POPF and RET, which keeps NMIs blocked, as the
 * mail of 2011-12-08 says "I may add this feature later"; it then writes below the RSP that it has interrupted.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

/* The exception stacks adjoin: NMI, debug, machine check. */
#define DEBUG_STACK_TOP		(nmi_stack_top + EXCEPTION_STKSZ)
#define MC_STACK_TOP		(nmi_stack_top + 2 * EXCEPTION_STKSZ)

	/* To nested_nmi if code from start to end was interrupted, and its own frame, at the top of its stack, says irq_return. */
	.macro	INTERRUPTED start, end, stack
	leaq	\start(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Lnot\@
	leaq	\end(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jae	.Lnot\@
	movabsq	$\stack, %rdx
	cmpq	$irq_return, -40(%rdx)
	je	nested_nmi
.Lnot\@:
	.endm

	.text

	.globl	nmi
nmi:
	pushq	%rdx

	testb	$3, 16(%rsp)
	jnz	first_nmi

	leaq	repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	.Ltest_executing
	leaq	end_repeat_nmi(%rip), %rdx
	cmpq	%rdx, 8(%rsp)
	jb	nested_nmi_out

.Ltest_executing:
	cmpl	$1, -8(%rsp)
	je	nested_nmi
#ifndef NO_REPAIR
	/* In #MC's or #DB's handler, which has not yet looked where it came from, and it came from the IRET below. */
	INTERRUPTED	machine_check, machine_check_done, MC_STACK_TOP
	INTERRUPTED	debug, debug_done, DEBUG_STACK_TOP
#endif
	leaq	48(%rsp), %rdx
	cmpq	%rdx, 32(%rsp)
	ja	first_nmi
	subq	$EXCEPTION_STKSZ, %rdx
	cmpq	%rdx, 32(%rsp)
	jb	first_nmi
	testl	$RFLAGS_DF, 24(%rsp)
	jz	first_nmi

nested_nmi:
	subq	$8, %rsp
	leaq	-80(%rsp), %rdx
	pushq	$__KERNEL_DS
	pushq	%rdx
	pushq	$RFLAGS_FIXED
	pushq	$__KERNEL_CS
	leaq	repeat_nmi(%rip), %rdx
	pushq	%rdx
	addq	$48, %rsp
nested_nmi_out:
#ifdef NESTED_BY_RET
	/* The SS of the frame is not needed; its word keeps RAX. */
	movq	%rax, 40(%rsp)
	movq	32(%rsp), %rdx
	movq	8(%rsp), %rax
	movq	%rax, -8(%rdx)
	movq	24(%rsp), %rax
	movq	%rax, -16(%rdx)
	movq	(%rsp), %rax
	movq	%rax, -24(%rdx)
	movq	40(%rsp), %rax
	leaq	-24(%rdx), %rsp
	popq	%rdx
	popfq
	ret
#else
	popq	%rdx
	iretq
#endif

first_nmi:
	movq	(%rsp), %rdx
	pushq	$0
	subq	$40, %rsp
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)
	pushq	88(%rsp)

	/* RSP = T-88, all registers but RSP and the flags are the context's. Here the early part ends. */
repeat_nmi:
	movq	$1, 80(%rsp)
	addq	$80, %rsp
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	pushq	-48(%rsp)
	subq	$40, %rsp
end_repeat_nmi:
	pushq	$-1
	PUSH_REGS

	movl	$1, %ebx
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	.Lkernel_gs
	swapgs
	xorl	%ebx, %ebx
.Lkernel_gs:
	cld
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi

	testl	%ebx, %ebx
	jnz	nmi_restore
nmi_swapgs:
	swapgs
nmi_restore:
	POP_REGS
	addq	$48, %rsp
	std
nmi_free:
	movq	$0, 40(%rsp)
irq_return:
	iretq

/*
 * Completes the entry of an NMI that was interrupted in its early part. Stack: rdx, rcx, rax, then the frame of the event that has
 * interrupted it; rdx and the frame become what they are behind that part. An NMI that was interrupted at its IRET goes back by one
 * instruction, to the one that says that the stack is free: until then it is not.
 */
	.macro	COMPLETE_NMI
	testb	$3, 32(%rsp)
	jnz	.Lcomplete\@
	cmpq	$irq_return, 24(%rsp)
	jne	.Learly\@
	movabsq	$nmi_stack_top-48, %rax
	movq	$1, -8(%rax)
	movq	$nmi_free, 24(%rsp)
	jmp	.Lcomplete\@
.Learly\@:
	leaq	nmi(%rip), %rcx
	cmpq	%rcx, 24(%rsp)
	jb	.Lcomplete\@
	leaq	repeat_nmi(%rip), %rax
	cmpq	%rax, 24(%rsp)
	jae	.Lcomplete\@

	/* RAX = T. At nmi+0 rdx has not been saved yet. */
	movabsq	$nmi_stack_top-48, %rax
	cmpq	%rcx, 24(%rsp)
	jne	.Lsaved\@
	movq	%rdx, (%rax)
.Lsaved\@:
	movq	(%rax), %rdx
	movq	%rdx, (%rsp)

	/* The same tests in the same order. */
	testb	$3, 16(%rax)
	jnz	.Lfirst\@
	leaq	repeat_nmi(%rip), %rcx
	cmpq	%rcx, 8(%rax)
	jb	.Lexecuting\@
	leaq	end_repeat_nmi(%rip), %rcx
	cmpq	%rcx, 8(%rax)
	jb	.Lleave\@
.Lexecuting\@:
	cmpl	$1, -8(%rax)
	je	.Lnested\@
	leaq	48(%rax), %rcx
	cmpq	%rcx, 32(%rax)
	ja	.Lfirst\@
	subq	$EXCEPTION_STKSZ, %rcx
	cmpq	%rcx, 32(%rax)
	jb	.Lfirst\@
	testl	$RFLAGS_DF, 24(%rax)
	jz	.Lfirst\@

.Lnested\@:
	movq	$__KERNEL_DS, -16(%rax)
	leaq	-88(%rax), %rcx
	movq	%rcx, -24(%rax)
	movq	$RFLAGS_FIXED, -32(%rax)
	movq	$__KERNEL_CS, -40(%rax)
	leaq	repeat_nmi(%rip), %rcx
	movq	%rcx, -48(%rax)
.Lleave\@:
	/* The NMI has nothing left to do: return to what it has interrupted. */
	movq	8(%rax), %rcx
	movq	%rcx, 24(%rsp)
	movq	16(%rax), %rcx
	movq	%rcx, 32(%rsp)
	movq	24(%rax), %rcx
	movq	%rcx, 40(%rsp)
	movq	32(%rax), %rcx
	movq	%rcx, 48(%rsp)
	movq	40(%rax), %rcx
	movq	%rcx, 56(%rsp)
	jmp	.Lcomplete\@

.Lfirst\@:
	movq	$0, -8(%rax)
	movq	8(%rax), %rcx
	movq	%rcx, -88(%rax)
	movq	16(%rax), %rcx
	movq	%rcx, -80(%rax)
	movq	24(%rax), %rcx
	movq	%rcx, -72(%rax)
	movq	32(%rax), %rcx
	movq	%rcx, -64(%rax)
	movq	40(%rax), %rcx
	movq	%rcx, -56(%rax)
	leaq	repeat_nmi(%rip), %rcx
	movq	%rcx, 24(%rsp)
	leaq	-88(%rax), %rcx
	movq	%rcx, 48(%rsp)
.Lcomplete\@:
	.endm

	.globl	machine_check
machine_check:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
#ifndef NO_REPAIR
	COMPLETE_NMI
#endif
machine_check_done:
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.globl	debug
debug:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
#ifndef NO_REPAIR
	COMPLETE_NMI
#endif
debug_done:
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq
debug_end:
	int3				/* not reached: gives the label an address of its own */
