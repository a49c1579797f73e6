/*
 * SYSCALL from a PV guest and the SYSRET back, as Xen does them on 64-bit processors; with NMI and #MC entry and the ways out of
 * xen_entry.S.
 *
 * Neither of the two instructions loads RSP. On entry the stub of the processor knows the hypervisor's stack; until it has loaded
 * it RSP is what the guest left there. On the way out the guest's RSP comes last, so that the SYSRET itself is executed with
 * CPL 0 and the guest's RSP. What is delivered then without a stack of its own is pushed to memory of the guest (seed
 * 004_1af19ab8c4618932): its frame lies there until the IRETQ, and another thread of the guest, on another processor, can
 * write into it.
 *
 * So NMI, #MC and #DF, which may come there, have IST stacks; SYSCALL clears IF, and the exit has, for all others.
 *
 * Primary stack behind the entry, from stack_bottom: SS, RSP, RFLAGS, CS, RIP, vector and error code, rdi … r15.
 *
 * RAX waits in the word that will be the guest's SS.
 *
 * Variants:
 *	NMI_WITHOUT_IST, MC_WITHOUT_IST, DF_WITHOUT_IST
 */
#define NMI_SKIPS_EVENTS
#include "xen_entry.S"

#ifdef NMI_WITHOUT_IST
	.globl	ist_2
	.set	ist_2, 0
#endif
#ifdef DF_WITHOUT_IST
	.globl	ist_8
	.set	ist_8, 0
#endif
#ifdef MC_WITHOUT_IST
	.globl	ist_18
	.set	ist_18, 0
#endif

	.text

	.globl	lstar_enter
lstar_enter:
	movabsq	%rax, stack_bottom-8
	movq	%rsp, %rax
	movabsq	$stack_bottom-8, %rsp
	pushq	%rax
	movq	8(%rsp), %rax
	movq	$FLAT_RING3_SS64, 8(%rsp)
	pushq	%r11
	pushq	$FLAT_RING3_CS64
	pushq	%rcx
	pushq	$0
	movl	$TRAP_syscall, 4(%rsp)
	SAVE_ALL
	movq	%rsp, %rdi
	call	pv_hypercall
	jmp	test_all_events
lstar_enter_end:
