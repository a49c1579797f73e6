/*
 * Xen's way into a crash kernel, with the handlers that it swaps on all processors.
 *
 * Source: 77ad1faa6b61 "x86/kexec: Change NMI and MCE handling on kexec path" (seed 002_b809f1a81997fd97, races.md X-10).
 *
 * The processor that crashes (in a function, or in an NMI handler) saves its notes, makes NMI and #MC harmless for itself,
 * gives all others the NMI handler nmi_crash, sends them an NMI, waits until they have saved theirs, and jumps to the
 * crash kernel. The others never come back from nmi_crash.
 *
 * For itself: the NMI gate becomes trap_nop without IST, in one store, and the IST of #MC goes. It may be running on the
 * NMI stack, at the top of which an NMI with IST would begin again. Without IST an event continues below the current RSP,
 * which is safe as long as RSP is the hypervisor's: there is no SYSRET to come. For the others: only the address in the NMI gate
 * changes. They may be in the gap after SYSCALL, so IST stays; what nmi_crash overwrites there it never gives back.
 *
 * Whoever crashes in an NMI handler has NMIs latched, and a crash kernel that starts like this takes the NMI that is
 * pending at its first IRET, wherever that is. So enable_nmis is last: an IRET to the next instruction, behind which the pending
 * NMI runs trap_nop, and is gone.
 *
 * What is broken on purpose, one macro each (and those of xen_gates.S for the gates):
 *
 *	CRASH_LATCHED		no enable_nmis
 *	CRASH_KEEPS_IST		the crashing processor's NMI gate gets trap_nop, and keeps its IST
 *	CRASH_KEEPS_HANDLER	its NMI gate is left as it is, IST and all
 *	CRASH_TEST_AND_SET	a processor takes the crash for itself by a test and a store
 *	CRASH_STRIPS_OTHERS	the NMI gates of the others lose their IST
 *	CRASH_KEEPS_MC_IST	the IST of #MC stays
 *	CRASH_KEEPS_MC		machine_kexec leaves the handler of #MC as it is
 *	NOTES_DONE_FIRST	crash_save_done is set before the notes are saved
 *	SELF_NMI_X2APIC		the NMI to self goes by the MSRs of the x2APIC, whatever mode the local APIC is in
 *	NO_SELF_NMI		there is none
 *	IDT_POISONED		the IDT pointer of a processor that is offline is poison and not 0
 *
 * CRASH_IN_NMI: the first processor crashes in its first NMI; else the context calls kexec_crash. BOOT_APIC: the mode in
 * which the firmware left the local APICs, bits EN and EXTD of IA32_APIC_BASE; the default is x2APIC.
 */
#include "include/xen.h"
#include "include/xen_frame.S"
#include "include/xen_ist_handler.S"
#include "include/x2apic_self_nmi.S"

#ifndef BOOT_APIC
#define BOOT_APIC		(APIC_BASE_EN | APIC_BASE_EXTD)
#endif

#ifdef IDT_POISONED
#define NR_CPUS			3
#else
#define NR_CPUS			2
#endif

/* Each turn lets the others run until they wait, so a few of them are as good as the second that Xen waits. */
#define SHOOTDOWN_PATIENCE	3

	.text

/* The handlers of every day, on IST stacks. */

	ist_handler	nmi, TRAP_nmi, do_nmi
	ist_handler	machine_check, TRAP_machine_check, do_machine_check

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
#ifdef CRASH_IN_NMI
	GET_STACK_END(%rax)
	cmpl	$0, STACK_CPUINFO_FIELD(CPUINFO_processor_id)(%rax)
	je	kexec_crash
#endif
	ret
do_nmi_end:

#include "include/xen_machine_check.S"
#include "include/xen_fatal.S"

#include "include/xen_gates.S"

/* The handlers of a crash. */

	.globl	trap_nop
trap_nop:
	iretq

	.globl	nmi_crash
nmi_crash:
	pushq	$0
	movl	$TRAP_nmi, 4(%rsp)
	SAVE_ALL
	movq	%rsp, %rdi
	call	do_nmi_crash
	ud2

/*
 * do_nmi_crash(regs): saves the notes once, and stops. Something may unblock NMIs on the way: a second NMI begins the whole
 * work anew and never returns to the first, so crash_save_done is set when it is done, and not before.
 */
	.globl	do_nmi_crash
	.globl	do_nmi_crash_end
do_nmi_crash:
	GET_STACK_END(%rax)
	movq	STACK_CPUINFO_FIELD(CPUINFO_per_cpu_offset)(%rax), %rbx
	movl	STACK_CPUINFO_FIELD(CPUINFO_processor_id)(%rax), %eax
	/* The one that crashes has another handler. */
	cmpl	crashing_cpu(%rip), %eax
	je	.Lcrashing_cpu

	cmpb	$0, crash_save_done(%rbx)
	jne	.Lsaved
#ifdef NOTES_DONE_FIRST
	movb	$1, crash_save_done(%rbx)
#endif
	call	kexec_crash_save_cpu
	call	__stop_this_cpu
#ifndef NOTES_DONE_FIRST
	movb	$1, crash_save_done(%rbx)
#endif
	lock decl waiting_for_crash_ipi(%rip)
.Lsaved:
#ifndef NO_SELF_NMI
	/* One more NMI, which stays pending: whatever unblocks NMIs from here on comes back to nmi_crash. */
	call	crash_self_nmi
#endif

	.globl	crash_stopped
crash_stopped:
	hlt
	jmp	crash_stopped

.Lcrashing_cpu:
	ud2
do_nmi_crash_end:

/* kexec_crash_save_cpu: fills the notes of this processor, whose per-CPU area is at rbx. */
kexec_crash_save_cpu:
	movq	$1, crash_notes(%rbx)
	movq	%rsp, crash_notes+8(%rbx)
	leaq	kexec_crash_save_cpu(%rip), %rax
	movq	%rax, crash_notes+16(%rbx)
	movq	%cr3, %rax
	movq	%rax, crash_notes+24(%rbx)
	ret

/* __stop_this_cpu: takes the local APIC back to the mode in which the firmware left it, disabled by software. */
__stop_this_cpu:
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lstop_xapic
	movl	$MSR_X2APIC_SVR, %ecx
	movl	$0xff, %eax
	xorl	%edx, %edx
	wrmsr
#if BOOT_APIC != (APIC_BASE_EN | APIC_BASE_EXTD)
	/* From x2APIC mode no way leads to the others but by turning it off. */
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	andl	$~(APIC_BASE_EN | APIC_BASE_EXTD), %eax
	wrmsr
#if BOOT_APIC != 0
	orl	$BOOT_APIC, %eax
	wrmsr
#endif
#endif
	ret
.Lstop_xapic:
	testl	$APIC_BASE_EN, %eax
	jz	.Lstopped
	movabsq	$local_apic_page, %rax
	movl	$0xff, XAPIC_SVR(%rax)
.Lstopped:
	ret

/*
 * crash_self_nmi: the NMI to self, made by hand. __stop_this_cpu has left the local APIC in a mode that the rest of the
 * hypervisor knows nothing of, and the registers of the other mode are #GP, or nothing. Disabled by software it still sends, and
 * takes NMIs.
 */
crash_self_nmi:
#ifndef SELF_NMI_X2APIC
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EN, %eax
	jz	.Lself_nmi_done
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lself_nmi_xapic
#endif
	X2APIC_SELF_NMI
.Lself_nmi_done:
	ret
.Lself_nmi_xapic:
	movabsq	$local_apic_page, %rax
	movl	XAPIC_ID(%rax), %edx
	movl	%edx, XAPIC_ICR2(%rax)
	movl	$(ICR_NMI | ICR_ASSERT), XAPIC_ICR(%rax)
	ret

/* nmi_allbutself: an NMI for all other processors. */
nmi_allbutself:
	movl	$MSR_IA32_APIC_BASE, %ecx
	rdmsr
	testl	$APIC_BASE_EXTD, %eax
	jz	.Lallbutself_xapic
	movl	$(ICR_ALL_BUT_SELF | ICR_NMI | ICR_ASSERT), %eax
	xorl	%edx, %edx
	movl	$MSR_X2APIC_ICR, %ecx
	wrmsr
	ret
.Lallbutself_xapic:
	movabsq	$local_apic_page, %rax
	movl	$(ICR_ALL_BUT_SELF | ICR_NMI | ICR_ASSERT), XAPIC_ICR(%rax)
	ret

/* kexec_crash: never returns, but on a processor that crashes while it crashes already. */
	.globl	kexec_crash
kexec_crash:
	cli
	GET_STACK_END(%rax)
	movq	STACK_CPUINFO_FIELD(CPUINFO_per_cpu_offset)(%rax), %rbx
	movl	STACK_CPUINFO_FIELD(CPUINFO_processor_id)(%rax), %ebp
#ifdef CRASH_TEST_AND_SET
	cmpl	$-1, crashing_cpu(%rip)
	jne	.Lalready_crashing
	movl	%ebp, crashing_cpu(%rip)
#else
	movl	$-1, %eax
	lock cmpxchgl %ebp, crashing_cpu(%rip)
	jne	.Lalready_crashing
#endif
	call	kexec_crash_save_cpu
	call	nmi_shootdown_cpus
	jmp	machine_kexec
.Lalready_crashing:
	ret

/* nmi_shootdown_cpus: rbp = this processor. */
nmi_shootdown_cpus:
	movl	online_cpus(%rip), %eax
	decl	%eax
	movl	%eax, waiting_for_crash_ipi(%rip)

	xorl	%r12d, %r12d
.Lshootdown_gates:
	leaq	idt_tables(%rip), %rax
	movq	(%rax,%r12,8), %r13
	testq	%r13, %r13
	jz	.Lshootdown_next
	leaq	16*TRAP_nmi(%r13), %rdi
	cmpl	%ebp, %r12d
	jne	.Lshootdown_other

#if defined(CRASH_KEEPS_IST)
	leaq	trap_nop(%rip), %rsi
	call	_update_gate_addr_lower
#elif !defined(CRASH_KEEPS_HANDLER)
	leaq	trap_nop(%rip), %rsi
	call	_set_gate_lower
#endif
#ifndef CRASH_KEEPS_MC_IST
	leaq	16*TRAP_machine_check(%r13), %rdi
	xorl	%esi, %esi
	call	set_ist
#endif
	jmp	.Lshootdown_next

.Lshootdown_other:
	leaq	nmi_crash(%rip), %rsi
#ifdef CRASH_STRIPS_OTHERS
	call	_set_gate_lower
#else
	call	_update_gate_addr_lower
#endif
.Lshootdown_next:
	incl	%r12d
	cmpl	$NR_CPUS, %r12d
	jb	.Lshootdown_gates

	call	nmi_allbutself

	/* Without end it must not wait: a processor that never answers is no reason not to crash. */
	movl	$SHOOTDOWN_PATIENCE, %ecx
.Lshootdown_wait:
	cmpl	$0, waiting_for_crash_ipi(%rip)
	je	.Lshootdown_over
	pause
	decl	%ecx
	jnz	.Lshootdown_wait
.Lshootdown_over:
	call	__stop_this_cpu
	ret

/* machine_kexec: the rest of the way. */
	.globl	machine_kexec
machine_kexec:
#ifndef CRASH_KEEPS_MC
	/* Machine checks cannot be kept away; the less they touch the better. */
	xorl	%r12d, %r12d
.Lkexec_gates:
	leaq	idt_tables(%rip), %rax
	movq	(%rax,%r12,8), %r13
	testq	%r13, %r13
	jz	.Lkexec_next
	leaq	16*TRAP_machine_check(%r13), %rdi
	leaq	trap_nop(%rip), %rsi
	call	_update_gate_addr_lower
.Lkexec_next:
	incl	%r12d
	cmpl	$NR_CPUS, %r12d
	jb	.Lkexec_gates
#endif
#ifndef CRASH_LATCHED
	call	enable_nmis
#endif
	jmp	crash_kernel

#include "include/xen_enable_nmis.S"

	.data
	.balign	8
/* Where the IDT of each processor is; 0 for one that there is not. */
idt_tables:
	.quad	idt_table
	.quad	idt_table+0x1000
#ifdef IDT_POISONED
	.quad	0x8600111111111111
#endif
online_cpus:
	.long	2
	.globl	crashing_cpu
crashing_cpu:
	.long	-1
waiting_for_crash_ipi:
	.long	0

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	crash_notes
	.type	crash_notes, @object
	.size	crash_notes, 32
/* Type, RSP, RIP, CR3: none of them can be 0. */
crash_notes:
	.skip	32
crash_save_done:
	.byte	0
	.balign	8
