/*
 * Changing an IDT and a TSS that are in use: each function here changes them in several steps, and NMI and #MC, which
 * nothing holds back, go by whatever they find in between.
 *
 * Sources: races.md X-5 (d47e6a744e), X-6 (9f3e9139fa), X-7 (XSA-244, CVE-2017-15594, cc08c73c8c), X-9 (bfa574998d,
 * 77ad1faa6b61; seed 002_b809f1a81997fd97).
 *
 *	change_handlers		gives NMI and #MC other handlers, by the helpers of xen_gates.S
 *	load_system_tables	fills the TSS anew, with the values that it has
 *	hvm_context		takes their stacks from NMI and #MC for a while
 *	copy_idt		makes the second processor's gates from the first one's, at any time
 *	init_ists		gives #DF, NMI and #MC their stacks
 *
 * What is broken on purpose, besides the macros of xen_gates.S:
 *
 *	FAULTS_RETURN		the handlers of faults return at once
 *	TSS_ASSIGNED		the TSS is zeroed and copied, as assigning a structure is compiled (X-6)
 *	TSS_OFF_BY_ONE		the IST numbers of the gates are used as indices from 0 (X-5)
 *	IDT_COPIED_AS_IS	what the other processor has in its IDT is not looked at (X-7)
 *
 * A fault in the hypervisor is the end of it: fatal_trap.
 */
#include "include/xen.h"
#include "include/xen_frame.S"
#include "include/xen_ist_handler.S"

/* The IST numbers of the platform, and those of 2012, when X-5 was found: an index that is off by one hits another stack. */
#define IST_MCE			1
#define IST_NMI			2
#define OLD_IST_DF		1
#define OLD_IST_NMI		2
#define OLD_IST_MCE		3

/* How far the IDTs of two processors are apart. */
#define IDT_STRIDE		0x1000

/* Bytes of a TSS; RSP0 and the first IST slot. */
#define TSS_SIZE		0x68
#define TSS_RSP0		0x04
#define TSS_IST			0x24

	.text

	ist_handler	nmi, TRAP_nmi, do_nmi
	ist_handler	machine_check, TRAP_machine_check, do_machine_check

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	xorl	%eax, %eax
	ret
do_nmi_end:

#include "include/xen_machine_check.S"
#ifndef FAULTS_RETURN
#include "include/xen_fatal.S"
#endif

#include "include/xen_gates.S"

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

/* strip_ists, restore_ists: for NMI and #MC in the IDT at rbx. */
	.globl	strip_ists
strip_ists:
	leaq	16*TRAP_nmi(%rbx), %rdi
	xorl	%esi, %esi
	call	set_ist
	leaq	16*TRAP_machine_check(%rbx), %rdi
	xorl	%esi, %esi
	jmp	set_ist

	.globl	restore_ists
restore_ists:
	leaq	16*TRAP_nmi(%rbx), %rdi
	movl	$IST_NMI, %esi
	call	set_ist
	leaq	16*TRAP_machine_check(%rbx), %rdi
	movl	$IST_MCE, %esi
	jmp	set_ist

/*
 * hvm_context: the first processor runs an HVM guest, and comes back. On AMD the guest's SYSCALL and SYSRET registers are in
 * force meanwhile, and with them no stack is needed: the gap after SYSCALL is the guest's own affair.
 */
	.globl	hvm_context
hvm_context:
	movq	idt(%rip), %rbx
	call	strip_ists
	nop
	call	restore_ists
	ret

/*
 * copy_idt: gives the second processor the first one's gates, 0 to 31. Whatever the first one does at this moment, a
 * processor that has just been started serves PV guests.
 */
	.globl	copy_idt
copy_idt:
	movq	idt(%rip), %rsi
	leaq	IDT_STRIDE(%rsi), %rdi
	movq	%rdi, %rbx
	movl	$2*32, %ecx
	rep movsq
#ifndef IDT_COPIED_AS_IS
	call	restore_ists
#endif
	ret

/*
 * init_ists: the stacks of #DF, NMI and #MC under the numbers of 2012. Numbers in gates count from 1, and the field ist[] of
 * the structure from 0.
 */
#ifdef TSS_OFF_BY_ONE
#define IST_FIELD(number)	TSS_IST+8*(number)
#else
#define IST_FIELD(number)	TSS_IST+8*((number)-1)
#endif
	.globl	init_ists
init_ists:
	movabsq	$tss_page, %rdi
	xorl	%eax, %eax
	movl	$7, %ecx
.Lno_stack:
	movq	%rax, TSS_IST-8(%rdi,%rcx,8)
	decl	%ecx
	jnz	.Lno_stack
	leaq	tss_values+TSS_IST(%rip), %rsi
	movq	8*3(%rsi), %rax
	movq	%rax, IST_FIELD(OLD_IST_DF)(%rdi)
	movq	8*(IST_NMI-1)(%rsi), %rax
	movq	%rax, IST_FIELD(OLD_IST_NMI)(%rdi)
	movq	8*(IST_MCE-1)(%rsi), %rax
	movq	%rax, IST_FIELD(OLD_IST_MCE)(%rdi)
	movq	idt(%rip), %rbx
	leaq	16*8(%rbx), %rdi
	movl	$OLD_IST_DF, %esi
	call	set_ist
	leaq	16*TRAP_nmi(%rbx), %rdi
	movl	$OLD_IST_NMI, %esi
	call	set_ist
	leaq	16*TRAP_machine_check(%rbx), %rdi
	movl	$OLD_IST_MCE, %esi
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
load_system_tables_end:

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
