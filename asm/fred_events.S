/*
 * FRED: what its entries can still do wrong. A family around one dispatch; without macros it is the mended one.
 *
 * Sources: 3e91abaa5673 (Linux 6.9), only a return whose frame says so unblocks NMIs; ed63bc7d4953, an ERETU that faults;
 * 76fc776392 (Xen, 2026), the work that an NMI leaves behind; the entry of INT 0x80 (CVE-2024-25744); dbd936248f (Xen), flags that
 * ERETU refuses; 723edbd2ca5f, SS when FRED is turned on; the cached IA32_FRED_RSP0 (2025-01).
 *
 * Macros:
 *	MARK_EVERY_RETURN	the frame of every event is marked as that of an NMI
 *	NMI_MARK_LOST		what makes a faulting ERETU an event of its own loses the mark of the NMI that it was to return from
 *	RIP_ALONE		any event at the ERETU is taken for a fault of it
 *	WORK_AFTER_NMI		after an NMI from ring 3, work is looked for as after any other event
 *	NO_SELF_IPI		after an NMI from ring 3 nothing sees to it that the work is done
 *	SWAPGS_KEPT		the entry from ring 3 does as it did with an IDT
 *	VECTOR_ALONE		vector 0x80 is the system call, whatever has raised it
 *	FLAGS_UNCHECKED		sigreturn takes the flags as ring 3 gives them
 *	SS_LOADED_IN_NMI	the NMI goes on with __KERNEL_DS in SS, as after a switch to a task that came in from ring 3
 *	DEEP_BODY		the C part of the NMI needs nearly all of its stack
 *	RSP0_CACHE_KEPT		a CPU that comes back forgets the value of the MSR, but not its copy
 *	NMI_MAKES_WORK		the C part of an NMI from ring 3 leaves work behind
 *	NMI_SPOILS_SS		the C part of an NMI from ring 3 finds that the SS there is gone (another thread's modify_ldt)
 *
 * Stacks: level 0, the thread stack, for ring 3; level 2, the NMI stack, for NMI and #MC in ring 0; else the interrupted one. Each
 * holds the frame of 64 bytes, and pt_regs, whose tail the frame is.
 */
#include "include/linux.h"
#include "include/pt_regs.S"
#include "include/fred_entry.S"

/* Bits of the SS word of a frame. */
#define SS_NMI			(1 << 18)
/* Its upper half: the vector in bits 7:0, the type in 19:16. */
#define TYPE_SHIFT		16
#define TYPE_MASK		0xf
#define TYPE_EXTINT		0
#define TYPE_NMI		2
#define TYPE_HWEXC		3
#define TYPE_SWINT		4
#define TYPE_OTHER		7
#define VECTOR_NP		11
#define VECTOR_GP		13
#define VECTOR_SYSCALL32	0x80
#define VECTOR_RESCHEDULE	0xf1

#define MSR_IA32_FRED_RSP0	0x1cc

/* What ring 3 may choose in RFLAGS: CF PF AF ZF SF TF DF OF AC; IF and bit 1 are always set. */
#define FLAGS_OF_USER		0x40dd5
#define FLAGS_ALWAYS		0x202

	.globl	fred_entry_from_user
fred_entry_from_user:
#ifdef SWAPGS_KEPT
	swapgs
#endif
	call	fred_dispatch
	/* EAX: the type. */
#ifndef WORK_AFTER_NMI
	/*
	 * After an NMI straight back: NMIs are blocked up to the ERETU. If there is work, an interrupt that is taken right after it
	 * comes back here.
	 */
	cmpl	$TYPE_NMI, %eax
	je	.Lafter_nmi
#endif
.Lwork:
	cmpl	$0, work_pending(%rip)
	je	.Lno_work
	call	schedule
.Lno_work:
	ret
.Lafter_nmi:
#ifndef NO_SELF_IPI
	cmpl	$0, work_pending(%rip)
	je	.Lno_work
	movl	$MSR_X2APIC_SELF_IPI, %ecx
	movl	$VECTOR_RESCHEDULE, %eax
	xorl	%edx, %edx
	wrmsr
#endif
	ret

/* A function that may sleep: here it does the work. */
	.globl	schedule
schedule:
	movl	$0, work_pending(%rip)
	ret

	.globl	fred_entry_from_kernel
fred_entry_from_kernel:
	leaq	user_return(%rip), %rax
	cmpq	%rax, PT_RIP(%rdi)
	jne	fred_dispatch
#ifndef RIP_ALONE
	/* #NP, #SS, #GP. An NMI or #MC may have come before the ERETU just as well. */
	movl	PT_SS+4(%rdi), %eax
	subb	$VECTOR_NP, %al
	cmpb	$VECTOR_GP - VECTOR_NP, %al
	ja	fred_dispatch
#endif
	jmp	eretu_faulted

/* fred_dispatch(pt_regs *regs): returns the event's type. */
fred_dispatch:
	movl	PT_SS+4(%rdi), %eax
	shrl	$TYPE_SHIFT, %eax
	andl	$TYPE_MASK, %eax
#ifdef MARK_EVERY_RETURN
	orl	$SS_NMI, PT_SS(%rdi)
#endif
	pushq	%rax
	movzbl	PT_SS+4(%rdi), %ecx
#ifdef VECTOR_ALONE
	cmpl	$VECTOR_SYSCALL32, %ecx
	je	fred_int80
#endif
	cmpl	$TYPE_NMI, %eax
	je	fred_nmi
	cmpl	$TYPE_OTHER, %eax
	je	fred_syscall
	cmpl	$TYPE_SWINT, %eax
	jne	.Lplatform
	cmpl	$VECTOR_SYSCALL32, %ecx
	je	fred_int80
.Lplatform:
	call	fred_other_event
	popq	%rax
	ret

fred_nmi:
	xorl	%esi, %esi
#ifdef SS_LOADED_IN_NMI
	movl	$__KERNEL_DS, %eax
	movl	%eax, %ss
#endif
	call	do_nmi
	popq	%rax
	ret

/* INT 0x80: there is no such call. */
fred_int80:
	movq	$-38, PT_RAX(%rdi)
	popq	%rax
	ret

/* The only system call: sigreturn, with the flags in RBX. */
fred_syscall:
	movq	PT_RBX(%rdi), %rdx
#ifndef FLAGS_UNCHECKED
	andl	$FLAGS_OF_USER, %edx
	orl	$FLAGS_ALWAYS, %edx
#endif
	movq	%rdx, PT_RFLAGS(%rdi)
	popq	%rax
	ret

/*
 * ERETU has faulted: an event of ring 3's, as if the instruction there had. RSP was at the frame's error code, above the
 * registers, and all general registers are the user's again; so the way in can begin anew, with that frame. What it says about the event
 * becomes what this frame says. An NMI from which that ERETU was to return is over: this return must unblock NMIs in its place.
 */
eretu_faulted:
	movq	PT_RSP(%rdi), %rsi
	movl	PT_SS-PT_ORIG_RAX(%rsi), %eax
#ifndef NMI_MARK_LOST
	movl	%eax, %ecx
	andl	$SS_NMI, %ecx
	orl	%ecx, PT_SS(%rdi)
#endif
	andl	$~SS_NMI, %eax
	movl	%eax, PT_SS-PT_ORIG_RAX(%rsi)
	movl	PT_SS+4(%rdi), %eax
	movl	%eax, PT_SS+4-PT_ORIG_RAX(%rsi)
	leaq	eretu_event(%rip), %rax
	movq	%rax, PT_RIP(%rdi)
	movl	$TYPE_HWEXC, %eax
	ret

/* A signal for the user, who makes the segment anew; then as from ring 3. RSP and all registers are as at the ERETU. */
eretu_event:
	orb	$0x80, user_stack_segment+5(%rip)
	jmp	asm_fred_entrypoint_user

#if defined(DEEP_BODY) || defined(NMI_MAKES_WORK) || defined(NMI_SPOILS_SS)
	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
#ifdef DEEP_BODY
	pushq	%rbx
	subq	$3800, %rsp
	movq	%rdi, %rbx
	addq	$3800, %rsp
	popq	%rbx
#endif
	testb	$3, PT_CS(%rdi)
	jz	.Lbody_done
#ifdef NMI_MAKES_WORK
	movl	$1, work_pending(%rip)
#endif
#ifdef NMI_SPOILS_SS
	andb	$0x7f, user_stack_segment+5(%rip)
#endif
.Lbody_done:
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */
#endif

/*
 * What a CPU does when it comes back: the MSR is as after a reset, and its copy must say so, or return_to_user will not write it.
 * Both change RAX, RCX and RDX.
 */
	.globl	cpu_online
cpu_online:
	movl	$MSR_IA32_FRED_RSP0, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
#ifndef RSP0_CACHE_KEPT
	movq	$0, %gs:fred_rsp0
#endif
	ret

	.globl	update_rsp0
update_rsp0:
	movq	%gs:cpu_current_top_of_stack, %rax
	cmpq	%rax, %gs:fred_rsp0
	je	.Lrsp0_kept
	movq	%rax, %gs:fred_rsp0
	movq	%rax, %rdx
	shrq	$32, %rdx
	movl	$MSR_IA32_FRED_RSP0, %ecx
	wrmsr
.Lrsp0_kept:
	ret

	.data
	.balign	8
	/* A GDT with one segment more: 0x50, a stack for ring 3. */
gdt:
	.quad	0, 0
	.quad	0x00af9b000000ffff	/* 0x10: code, ring 0 */
	.quad	0x00cf93000000ffff	/* 0x18: data, ring 0 */
	.quad	0
	.quad	0x00cff3000000ffff	/* 0x28: data, ring 3 */
	.quad	0x00affb000000ffff	/* 0x30: code, ring 3 */
	.quad	0, 0, 0
user_stack_segment:
	.quad	0x00cff3000000ffff	/* 0x50 */
gdt_end:
	.globl	gdt_pointer
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.section .data.user,"aw",@progbits
	.balign	8
	/* Where ring 3 can see it, so that a context can say whether the work has been done. */
	.globl	work_pending
work_pending:
	.long	0
	.long	0

	.section .data..percpu,"aw",@progbits
	.balign	8
fred_rsp0:
	.quad	thread_stack_top
