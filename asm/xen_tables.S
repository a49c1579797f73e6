/*
 * Changing an IDT and a TSS that are in use: each function here changes them in several steps, and NMI and #MC, which
 * nothing holds back, go by whatever they find in between.
 *
 * Sources: races.md X-5 (d47e6a744e), X-6 (9f3e9139fa), X-7 (XSA-244, CVE-2017-15594, cc08c73c8c), X-9 (bfa574998d,
 * 77ad1faa6b61; seed 002_b809f1a81997fd97).
 *
 *	change_handlers		gives NMI and #MC other handlers, by the helpers of xen_gates.S
 *	strip_ists, restore_ists	takes their stacks from them, and gives them back
 *	install_handlers	fills empty gates of NMI and #MC
 *	load_system_tables	fills the TSS anew, with the values that it has
 *	copy_idt		makes the second processor's IDT from the first one's
 *
 * What is broken on purpose, besides the macros of xen_gates.S:
 *
 *	TSS_ASSIGNED		the TSS is zeroed and copied, as assigning a structure is compiled (X-6)
 *	TSS_OFF_BY_ONE		the IST numbers of the gates are used as indices from 0 (X-5)
 *	IDT_COPIED_AS_IS	what the other processor has in its IDT is not looked at (X-7)
 *
 * A fault in the hypervisor is the end of it: fatal_trap.
 */
#include "include/xen.h"
#include "include/xen_regs.h"

/* The IST numbers of the platform, and those of 2012, when X-5 was found: an index that is off by one hits another stack. */
#define IST_MCE			1
#define IST_NMI			2
#define OLD_IST_DF		1
#define OLD_IST_NMI		2
#define OLD_IST_MCE		3

/* Bytes of a TSS; RSP0 and the first IST slot. */
#define TSS_SIZE		0x68
#define TSS_RSP0		0x04
#define TSS_IST			0x24

	.macro	ist_handler	name, trap, function
	.balign	16
	.globl	\name
\name:
	pushq	$0
	movl	$\trap, 4(%rsp)
	SAVE_ALL
	movq	%rsp, %rdi
	call	\function
	RESTORE_ALL
	addq	$8, %rsp
	iretq
	.endm

	.text

	ist_handler	nmi, TRAP_nmi, do_nmi
	ist_handler	machine_check, TRAP_machine_check, do_machine_check

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	xorl	%eax, %eax
	ret
do_nmi_end:

	.globl	do_machine_check
	.globl	do_machine_check_end
do_machine_check:
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	ret
do_machine_check_end:

	.globl	general_protection
general_protection:
	jmp	fatal_trap

	.globl	segment_not_present
segment_not_present:
	jmp	fatal_trap

	.globl	page_fault
page_fault:
	jmp	fatal_trap

	.globl	invalid_op
invalid_op:
	jmp	fatal_trap

	.globl	fatal_trap
fatal_trap:
	cli
	hlt
	jmp	fatal_trap

#include "xen_gates.S"

	.globl	change_handlers
change_handlers:
	movq	idt(%rip), %rdi
	addq	$16*TRAP_nmi, %rdi
	leaq	other_nmi(%rip), %rsi
	call	_update_gate_addr_lower
	addq	$16*(TRAP_machine_check-TRAP_nmi), %rdi
	leaq	other_machine_check(%rip), %rsi
	call	_update_gate_addr_lower
	ret

	.globl	strip_ists
strip_ists:
	xorl	%esi, %esi
	call	.Lset_nmi_ist
	xorl	%esi, %esi
	jmp	.Lset_machine_check_ist

	.globl	restore_ists
restore_ists:
	movl	$IST_NMI, %esi
	call	.Lset_nmi_ist
	movl	$IST_MCE, %esi
	jmp	.Lset_machine_check_ist

.Lset_nmi_ist:
	movq	idt(%rip), %rdi
	addq	$16*TRAP_nmi, %rdi
	jmp	set_ist
.Lset_machine_check_ist:
	movq	idt(%rip), %rdi
	addq	$16*TRAP_machine_check, %rdi
	jmp	set_ist

/*
 * load_system_tables: what the TSS holds already, once more. Each field in one store: whoever reads it finds the old value or the
 * new one, which are the same.
 */
	.globl	load_system_tables
load_system_tables:
	leaq	tss_values(%rip), %rsi
	movabsq	$tss_page, %rdi
#ifdef TSS_ASSIGNED
	movq	%rdi, %rdx
	xorl	%eax, %eax
	movl	$TSS_SIZE/8, %ecx
.Lclear:
	movq	%rax, (%rdi)
	addq	$8, %rdi
	decl	%ecx
	jnz	.Lclear
	movq	%rdx, %rdi
	movl	$TSS_SIZE/8, %ecx
.Lcopy:
	movq	(%rsi), %rax
	movq	%rax, (%rdi)
	addq	$8, %rsi
	addq	$8, %rdi
	decl	%ecx
	jnz	.Lcopy
#else
	movq	TSS_RSP0(%rsi), %rax
	movq	%rax, TSS_RSP0(%rdi)
	addq	$TSS_IST, %rdi
	addq	$TSS_IST, %rsi
	movl	$4, %ecx
.Lslot:
	movq	(%rsi), %rax
	movq	%rax, (%rdi)
	addq	$8, %rsi
	addq	$8, %rdi
	decl	%ecx
	jnz	.Lslot
#endif
	ret

	/* Far enough away that both fields of 16 bits of the address differ, and a mixture of them is the address of an UD2. */
	.balign	16
	.fill	0xc000, 2, 0x0b0f
	ist_handler	other_nmi, TRAP_nmi, do_nmi
	ist_handler	other_machine_check, TRAP_machine_check, do_machine_check

	.data
	.balign	8
idt:
	.quad	idt_table
	.balign	16
	/* As the TSS of the first processor is: unused slots are 0. */
tss_values:
	.long	0
	.quad	stack_bottom, 0, 0
	.quad	0
	.quad	nmi_stack_top-0x1000, nmi_stack_top, nmi_stack_top+0x1000, nmi_stack_top+0x2000
	.quad	0, 0, 0
	.quad	0
	.word	0
	.word	TSS_SIZE
