/*
 * What happens when the IRET to user mode faults, as in Linux up to 3.17: the handler of #GP, and bad_iret.
 *
 * Sources: the description of CVE-2015-5157; 9b6e6a8334d5 (4.2), by which NMIs from user mode no longer return from the NMI stack;
 * b645af2d5905 (3.18), which moves both frames to the thread stack (FIXUP_BAD_IRET).
 *
 * CS and SS of the frame are the user's choice. If they are not good, the IRET faults in ring 0, on the stack on which it was executed,
 * and below the frame that it was to return by. By then it has unblocked NMIs. The handler knows the IRET by its address, and goes
 * back to bad_iret with RSP at that frame: the frame now stands for a fault of the user's own instruction. The second round
 * treats it as such: with interrupts on, and with a signal. All of that on whatever stack the IRET was on.
 *
 * Variants:
 *	FIXUP_BAD_IRET	3.18 and later: there is no second round. The handler builds on the thread stack what a fault of the user's own
 *			instruction would have left there, and goes on with that
 *
 * IRET_TO_USER: the label of that IRET, irq_return unless defined otherwise. The signal makes the process go on at signal_handler, which the
 * context defines.
 *
 * Stack: RSP at entry is at the error code; pt_regs begins 120 bytes below.
 */
#include "include/linux.h"
#include "include/pt_regs.S"

#ifndef IRET_TO_USER
#define IRET_TO_USER	irq_return
#endif

	.text

	.globl	general_protection
general_protection:
	PUSH_REGS
	cld
	testb	$3, PT_CS(%rsp)
	jnz	gp_from_user

	leaq	IRET_TO_USER(%rip), %rcx
	cmpq	%rcx, PT_RIP(%rsp)
	jne	gp_in_kernel
#ifdef FIXUP_BAD_IRET
	/* The IRET. The SWAPGS before it has been executed. All registers are saved; RSP was at the user's frame. */
	swapgs
	movq	PT_RSP(%rsp), %rsi
	movq	%gs:cpu_current_top_of_stack, %rdi
	subq	$PT_SIZE, %rdi
	movq	%rdi, %rbx
	addq	$PT_RIP, %rdi
	movl	$5, %ecx
gp_copy_frame:
	rep movsq
gp_frame_copied:
	/* The registers, and the error code. */
	movq	%rsp, %rsi
	movq	%rbx, %rdi
	movl	$PT_RIP / 8, %ecx
	rep movsq
	movq	%rbx, %rsp
gp_on_thread_stack:
	testb	$3, PT_CS(%rsp)
	jnz	gp_with_kernel_gs
	jmp	gp_in_kernel
#else
	/* The IRET. The SWAPGS before it has been executed, and bad_iret will do it once more. */
	leaq	bad_iret(%rip), %rcx
	movq	%rcx, PT_RIP(%rsp)
	POP_REGS
	addq	$8, %rsp		/* the error code */
gp_fixed_up:
	iretq

	/* RSP is at the user's frame. What the fault was for is lost; it was a #GP as good as any. */
bad_iret:
	pushq	$0
	jmp	general_protection
#endif

gp_from_user:
	swapgs
gp_with_kernel_gs:
	movq	%rsp, %rdi
	/* The user had interrupts on. From here on the handler may sleep, too. */
	sti
	call	do_general_protection
	cli
	POP_REGS
	addq	$8, %rsp
	swapgs
gp_return:
	iretq

	/* A fault of the kernel's own: it stops. */
gp_in_kernel:
	cli
	hlt
	jmp	gp_in_kernel

/* do_general_protection(pt_regs *regs): a signal, for which the process gets a good SS and goes on at another place. */
do_general_protection:
	testb	$3, PT_CS(%rdi)
	jz	.Lno_signal
	movq	$signal_handler, PT_RIP(%rdi)
	movq	$__USER_DS, PT_SS(%rdi)
.Lno_signal:
	ret
do_general_protection_end:
	int3				/* not reached: gives the label an address of its own */

#ifndef FIXUP_BAD_IRET
	.section __ex_table,"a",@progbits
	.quad	IRET_TO_USER, bad_iret
#endif
