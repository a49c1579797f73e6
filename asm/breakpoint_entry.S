/*
 * #BP entry, with its C part do_int3.
 *
 * INT3 is executed where the debugger has put it, so CS tells whose GS base is in force, and the stack in use is good
 * for one more frame: the gate needs no IST (d8ba61ba58c8, Linux 4.16), only DPL 3.
 *
 * Stack: SS, RSP, RFLAGS, CS, RIP, orig_rax = -1, rdi … r15.
 *
 * Variants: #BP on the IST stack of #DB, as it was up to 4.15. A second #BP or #DB begins at the top of that stack
 * again.
 *	ON_DEBUG_STACK	with no precaution
 *	IST_SHIFT=n	moves the IST slot down by n bytes while the C part runs, so that a nested #BP finds room below.
 *			What comes before the SUB or after the ADD finds the old top: a #DB that MOV SS has put off to
 *			the first instruction, the INT3 of a probe in the entry itself (5963e317b1e9), a second #BP in
 *			an NMI. With n = 4096, the size of the stack until 2006 (a4045dff782a), the second level lies on
 *			the stack below, the one of NMIs.
 *	GATE_DPL=n	privilege level of the gate: with 0, INT3 in ring 3 is #GP (90f6225fba0c mends d8ba61ba58c8)
 */
#include "include/entry.S"

#ifdef IST_SHIFT
#define ON_DEBUG_STACK
#endif

#ifdef ON_DEBUG_STACK
	.globl	ist_3
	.set	ist_3, 3
#endif
#ifdef GATE_DPL
	.globl	dpl_3
	.set	dpl_3, GATE_DPL
#endif

/* The slot of IST 3 in the TSS. */
#define TSS_IST3	0x34

	.text

	.globl	int3
int3:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
#ifdef ON_DEBUG_STACK
	paranoid_gs
#else
	gs_by_cs
#endif
	movq	%rsp, %rdi
#ifdef IST_SHIFT
	movabsq	$cpu_tss+TSS_IST3, %rax
int3_shift:
	subq	$IST_SHIFT, (%rax)
int3_shifted:
#endif
	call	do_int3
#ifdef IST_SHIFT
	movabsq	$cpu_tss+TSS_IST3, %rax
int3_shift_back:
	addq	$IST_SHIFT, (%rax)
int3_shifted_back:
#endif

int3_exit:
#ifdef ON_DEBUG_STACK
	paranoid_gs_back
#else
	gs_by_cs
#endif
	POP_REGS
	addq	$8, %rsp
int3_iret:
	iretq
int3_end:
