/*
 * The last instruction of a return to ring 3, IRETQ or SYSRET, and what becomes of a fault that it raises.
 *
 * IRETQ checks what it pops: a stack segment that has been made not present meanwhile (#SS), a code segment (#NP), an
 * RIP that is not canonical (#GP). The fault comes with CPL 0, on the stack in use, but behind the SWAPGS: CS is the
 * kernel's and GS the user's. Nothing but the address of the IRETQ tells that apart from a fault of the kernel. The
 * handler for it goes on as if the return had succeeded and the user had faulted: SWAPGS, the frame that IRETQ did not
 * take copied to the top of the thread stack (b645af2d5905), C, and the process is ended (in Linux: gets a signal).
 *
 * SYSRET checks RCX alone. On Intel processors the #GP comes with CPL 0 and with the RSP that the user chose
 * (CVE-2006-0744, CVE-2012-0217, CVE-2014-4699); AMD processors are in ring 3 then. So an RIP that is not canonical
 * must go by IRETQ.
 *
 * Thread stack: SS, RSP, RFLAGS, CS, RIP, orig_rax or error code, rdi … r15.
 *
 * Needed from outside: before_return, called with pt_regs at RSP + 8 before each return: what a debugger, or another
 * system call, does to the frame and to the segments; and next_process.
 *
 * Variants:
 *	SYSRET_UNCHECKED	SYSRET whatever RIP is
 *	SS_PARANOID		#SS has an IST and goes by the GS base, as until 3.17.4 (CVE-2014-9322, "BadIRET"): it
 *				gives back what it has found, so the fixup, code of the kernel, begins with the GS of
 *				the user, and exchanges once too often
 *	UNLABELLED_IRET		INT 0x80 has an IRETQ of its own, which no handler knows (505cc4e1d688, 3aa4b37d3e89)
 *	NMI_IRET_UNKNOWN	the IRETQ of the NMI handler is not among those that the handlers know: where ring 3 has
 *				come to an RIP that is not canonical (AMD, behind a SYSRET), an NMI before the fetch
 *				returns to it by IRETQ
 */
#include "include/entry.S"

#ifdef SS_PARANOID
	.globl	ist_12
	.set	ist_12, 3
#endif

	.globl	dpl_128
	.set	dpl_128, 3

	.text

	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	$__USER_DS
	pushq	%gs:cpu_tss_rsp2
	pushq	%r11
	pushq	$__USER_CS
	pushq	%rcx
	pushq	$-1
	PUSH_REGS
	movq	%rsp, %rdi
	call	do_syscall_64
	call	before_return
#ifndef SYSRET_UNCHECKED
	/* Canonical is what is equal to its bits 47 to 0, sign-extended. */
	movq	PT_RIP(%rsp), %rcx
	shlq	$16, %rcx
	sarq	$16, %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	jne	return_to_user
#endif
	POP_REGS
	movq	8(%rsp), %rcx
	movq	24(%rsp), %r11
	movq	32(%rsp), %rsp
	swapgs
user_sysret:
	sysretq

	.globl	interrupt_0x80
interrupt_0x80:
	pushq	$-1
	PUSH_REGS
	clear_user_flags
	swapgs
	movq	%rsp, %rdi
	call	do_int80
	call	before_return
#ifdef UNLABELLED_IRET
	POP_REGS
	addq	$8, %rsp
	swapgs
other_iret:
	iretq
#endif

return_to_user:
	POP_REGS
	addq	$8, %rsp
	swapgs
user_iret:
	/* That of the NMI handler, if there is one (linux_nmi.S). */
	.weak	user_return
user_return:
	iretq

	.globl	general_protection
general_protection:
	PUSH_REGS
	clear_user_flags
	call	error_entry
	movq	%rax, %rsp
	movq	%rsp, %rdi
	call	do_general_protection
	jmp	error_exit

	.globl	segment_not_present
segment_not_present:
	PUSH_REGS
	clear_user_flags
	call	error_entry
	movq	%rax, %rsp
	movq	%rsp, %rdi
	call	do_segment_not_present
	jmp	error_exit

	.globl	stack_segment
stack_segment:
	PUSH_REGS
	clear_user_flags
#ifdef SS_PARANOID
	paranoid_gs
	movq	%rsp, %rdi
	call	do_stack_segment
	/* The exception table has an entry for the address of the IRETQ. */
	leaq	bad_iret(%rip), %rax
	movq	%rax, PT_RIP(%rsp)
	paranoid_gs_back
	POP_REGS
	addq	$8, %rsp
	iretq

bad_iret:
	/*
	 * The frame that was refused is at RSP, as if just pushed by a #GP of the user. "GS is the kernel's here": the
	 * entry of #GP wants the user's.
	 */
	swapgs
	pushq	$0
	jmp	general_protection
#else
	call	error_entry
	movq	%rax, %rsp
	movq	%rsp, %rdi
	call	do_stack_segment
	jmp	error_exit
#endif

/* pt_regs at RSP + 8. RAX: the pt_regs to go on with; EBX: 1 if the kernel itself is to blame, else 0. */
error_entry:
	xorl	%ebx, %ebx
	leaq	8(%rsp), %rax
	testb	$3, PT_CS(%rax)
	jnz	.Lgs_of_user
	leaq	user_iret(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rax)
	je	.Lbad_iret
#ifndef NMI_IRET_UNKNOWN
	leaq	user_return(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rax)
	je	.Lbad_iret
#endif
	movl	$1, %ebx
	ret

.Lbad_iret:
	/* The five words to the top of the thread stack, the error code below them, room for the registers. */
	swapgs
	movq	PT_RSP(%rax), %rsi
	movq	%gs:cpu_current_top_of_stack, %rdi
	subq	$PT_SIZE, %rdi
	.irp	word, 32, 24, 16, 8, 0
	movq	\word(%rsi), %rcx
	movq	%rcx, PT_RIP+\word(%rdi)
	.endr
	movq	PT_ORIG_RAX(%rax), %rcx
	movq	%rcx, PT_ORIG_RAX(%rdi)
	movq	%rdi, %rax
	ret

.Lgs_of_user:
	swapgs
	ret

error_exit:
	testl	%ebx, %ebx
	jz	next_process
	.globl	panic
panic:
	hlt
	jmp	panic
