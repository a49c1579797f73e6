/*
 * Entries that trust nothing but what the registers say: #MC, #DB and NMI, each on its IST stack, against a SYSCALL entry and exit
 * with page-table isolation. A family: without macros it is the mended one.
 *
 * Sources: paranoid_entry and paranoid_exit of Linux. The KAISER patch for 4.4 and 4.9 (2017), in which the need to load CR3 was
 * taken from the need for SWAPGS; e48657573481 (4.16), CR3 restored in both branches; a5d25e01c814 and 049331f277fe, the
 * sign test against FSGSBASE; 6a3ea3e68b8a (5.9), the CPU number from a segment limit instead of RDPID. CVE-2018-8897's relatives in
 * other kernels that ask the saved CS alone.
 *
 * What is in force when the handler begins, in ring 0 (K the kernel's, U the user's):
 *
 *	entry of SYSCALL	GS U, CR3 U	before SWAPGS
 *				GS K, CR3 U	up to the MOV to CR3
 *				GS K, CR3 K	from there on
 *	exit			GS K, CR3 U	between the MOV to CR3 and SWAPGS
 *				GS U, CR3 U	before SYSRET
 *
 * So GS and CR3 are two questions, each with an answer of its own, and each must be given back as it was found. The saved
 * CS answers neither.
 *
 * Macros:
 *	PTI			page-table isolation; without it CR3 is left alone
 *	PCID			with PTI: user mode's CR3 has a PCID of its own, bit 11
 *	PCID_FORGOTTEN		the exit makes the user's CR3 from the kernel's and does not think of that
 *	GS_BY_CS		SWAPGS if the saved CS is that of ring 3, only then
 *	CR3_WITH_SWAPGS		CR3 is loaded, and given back, where SWAPGS is needed
 *	CR3_BACK_WITH_SWAPGS	CR3 is loaded whenever it is the user's, but given back only together with SWAPGS
 *	SWAPGS_FIRST		the exit does its SWAPGS before it has used its per-CPU variables for the last time
 *	CR3_FIRST		the same with CR3
 *	FLAG_PER_CPU		what the exit must do about GS is noted in a per-CPU variable instead of a register
 *	FSGSBASE		the base itself is saved (RDGSBASE), and the kernel's is loaded by the number of the CPU, from the limit of a segment
 *	CPU_BY_RDPID		with FSGSBASE: the number comes from IA32_TSC_AUX
 *	GS_FROM_STACK		the base itself is saved, and the kernel's is in the lowest word of the IST stack (FreeBSD)
 *	CR3_BY_VARIABLE		without isolation: CR3 is loaded from the per-CPU variable kernel_cr3_now, as if it were the user's, and stays (FreeBSD)
 *	NO_CR3_MARKER		with CR3_BY_VARIABLE: -1 in that variable says that there is nothing to load
 *
 * Registers between entry and exit: RBX the GS base to give back, or 1 for "leave GS alone"; R14 the CR3 to give back.
 *
 * Stack of a handler, T = IST top - 48: hardware frame above T, orig_rax at T, pt_regs begins at T-120.
 *
 * Needed from outside: IDT gates with IST for #MC, #DB and NMI; one NMI at a time (there is no protection against nesting here).
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#ifdef PTI
	.globl	pti
	.set	pti, 1
#endif
#ifdef CR3_BY_VARIABLE
	.globl	second_process
	.set	second_process, 1
#endif

/* What user mode's CR3 has and the kernel's has not. */
#ifdef PCID
#define CR3_OF_USER		(CR3_USER | 0x800)
#else
#define CR3_OF_USER		CR3_USER
#endif

	.macro	LOAD_KERNEL_CR3 scratch
	movq	%cr3, \scratch
	andq	$~CR3_OF_USER, \scratch
	movq	\scratch, %cr3
	.endm

	/* CR3 comes first: with the user's, per-CPU variables are not mapped. */
	.macro	PARANOID_ENTER
	pushq	$-1
	PUSH_REGS
	cld

#if defined(PTI) && !defined(CR3_WITH_SWAPGS)
	movq	%cr3, %r14
	testl	$CR3_USER, %r14d
	jz	.Lcr3_loaded\@
	LOAD_KERNEL_CR3 %rax
.Lcr3_loaded\@:
#endif

#if defined(GS_FROM_STACK)
	rdgsbase %rbx
	movq	%rsp, %rax
	andq	$-EXCEPTION_STKSZ, %rax
	movq	(%rax), %rax
	wrgsbase %rax
#elif defined(FSGSBASE)
	rdgsbase %rbx
#ifdef CPU_BY_RDPID
	rdpid	%rax
#else
	movl	$__CPUNODE_SEG, %eax
	lsl	%eax, %eax
#endif
	movq	percpu_areas(, %rax, 8), %rax
	wrgsbase %rax
#else
	movl	$1, %ebx
	testb	$3, PT_CS(%rsp)
	jnz	.Lswapgs\@
#ifndef GS_BY_CS
	/* Ring 0 does not always run with the kernel's base. That one lies in the upper half. */
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	jns	.Lswapgs\@
#endif
	jmp	.Lgs_loaded\@
.Lswapgs\@:
	swapgs
	xorl	%ebx, %ebx
#if defined(PTI) && defined(CR3_WITH_SWAPGS)
	LOAD_KERNEL_CR3 %rax
#endif
.Lgs_loaded\@:
#ifdef FLAG_PER_CPU
	movl	%ebx, %gs:leave_gs_alone
#endif
#endif
	incl	%gs:handlers_running
#ifdef CR3_BY_VARIABLE
	movq	%gs:kernel_cr3_now, %rax
#ifdef NO_CR3_MARKER
	cmpq	$-1, %rax
	je	.Lno_cr3\@
#endif
	movq	%rax, %cr3
.Lno_cr3\@:
#endif
	movq	%rsp, %rdi
	xorl	%esi, %esi
	.endm

	.macro	GIVE_BACK_CR3
#if defined(PTI) && !defined(CR3_WITH_SWAPGS) && !defined(CR3_BACK_WITH_SWAPGS)
#ifdef PCID_FORGOTTEN
	testl	$CR3_USER, %r14d
	jz	.Lcr3_kept\@
	movq	%cr3, %rax
	orq	$CR3_USER, %rax
	movq	%rax, %cr3
.Lcr3_kept\@:
#else
	movq	%r14, %cr3
#endif
#endif
	.endm

	.macro	GIVE_BACK_GS
#if defined(FSGSBASE) || defined(GS_FROM_STACK)
	wrgsbase %rbx
#else
#ifdef FLAG_PER_CPU
	cmpl	$0, %gs:leave_gs_alone
#else
	testl	%ebx, %ebx
#endif
	jnz	.Lgs_kept\@
#if defined(PTI) && defined(CR3_WITH_SWAPGS)
	movq	%cr3, %rax
	orq	$CR3_USER, %rax
	movq	%rax, %cr3
#elif defined(PTI) && defined(CR3_BACK_WITH_SWAPGS)
	movq	%r14, %cr3
#endif
	swapgs
.Lgs_kept\@:
#endif
	.endm

	.macro	PARANOID_LEAVE
#if defined(SWAPGS_FIRST)
	GIVE_BACK_GS
	decl	%gs:handlers_running
	GIVE_BACK_CR3
#elif defined(CR3_FIRST)
	GIVE_BACK_CR3
	decl	%gs:handlers_running
	GIVE_BACK_GS
#else
	/* The last use of a per-CPU variable, then what makes that impossible. */
	decl	%gs:handlers_running
	GIVE_BACK_CR3
	GIVE_BACK_GS
#endif
	POP_REGS
	addq	$8, %rsp		/* orig_rax */
	iretq
	.endm

	.section .entry.text,"ax",@progbits

	.globl	machine_check
machine_check:
	PARANOID_ENTER
	call	do_machine_check
machine_check_leave:
	/* The error is dealt with: the next one may come. */
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	PARANOID_LEAVE

	.globl	debug
debug:
	PARANOID_ENTER
	call	do_debug
debug_leave:
	PARANOID_LEAVE

	.globl	nmi
nmi:
	PARANOID_ENTER
	call	do_nmi
nmi_leave:
	PARANOID_LEAVE

/*
 * A system call that does nothing. With isolation the user's RSP is kept in a variable that both address spaces map; the
 * thread stack is the kernel's alone. RAX is the caller's to lose.
 */
	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
#ifdef PTI
	LOAD_KERNEL_CR3 %rax
#endif
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	%rcx
syscall_work:
	movl	$0, %eax
syscall_exit:
	popq	%rcx
	popq	%r11
	popq	%gs:cpu_tss_rsp2
#ifdef PTI
	movq	%cr3, %rax
	orq	$CR3_OF_USER, %rax
	movq	%rax, %cr3
#endif
	movq	%gs:cpu_tss_rsp2, %rsp
	movl	$0, %eax
	swapgs
	sysretq
syscall_end:
	int3				/* not reached: gives the label an address of its own */

	.section .rodata,"a",@progbits
	.balign	8
	.globl	percpu_areas
percpu_areas:
	.quad	percpu_area
	.quad	percpu_area + PERCPU_STRIDE

	.section .data..percpu,"aw",@progbits
	.balign	8
handlers_running:
	.long	0
	.long	0
#ifdef CR3_BY_VARIABLE
	.globl	kernel_cr3_now
kernel_cr3_now:
#ifdef NO_CR3_MARKER
	.quad	-1
#else
	.quad	kernel_cr3
#endif
#endif
#ifdef FLAG_PER_CPU
leave_gs_alone:
	.long	0
#endif
