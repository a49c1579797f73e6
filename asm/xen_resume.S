/*
 * A guest that was in a system call on a host with FRED goes on where there is none: by SYSRET.
 *
 * Source: c5a4b9125b (Xen). With an IDT a guest that has made a system call has its RIP in RCX and its flags in R11, for SYSCALL has put
 * them there; the way back by SYSRET takes RCX for RIP. FRED's system call leaves both registers alone.
 *
 * Macro:
 *	RCX_LEFT	the host with FRED saves RCX and R11 as it has found them
 *
 * guest_saved, 6 words: RIP, RFLAGS, RSP, RCX, R11, and 1 if the guest is in a system call. save_on_fred fills it in as the entry of that host
 * would, from RIP in RDI and RSP in RSI; resume_guest does not return. The NMI handler is there for something to happen.
 */
#include "include/linux.h"
#include "include/pt_regs.S"
#include "include/kernel_gs.S"

	.text

	.globl	nmi
nmi:
	pushq	$-1
	PUSH_REGS
	cld
	LOAD_KERNEL_GS
	movq	%rsp, %rdi
	call	do_nmi
	GIVE_BACK_GS
	POP_REGS
	addq	$8, %rsp
	iretq

	.globl	save_on_fred
save_on_fred:
	movq	%rdi, %gs:guest_saved
	movq	$0x202, %gs:guest_saved+8
	movq	%rsi, %gs:guest_saved+16
#ifdef RCX_LEFT
	movq	%rcx, %gs:guest_saved+24
	movq	%r11, %gs:guest_saved+32
#else
	movq	%rdi, %gs:guest_saved+24
	movq	$0x202, %gs:guest_saved+32
#endif
	movq	$1, %gs:guest_saved+40
	ret

	.globl	resume_guest
resume_guest:
	cmpq	$0, %gs:guest_saved+40
	je	.Lby_iret
	movq	%gs:guest_saved+24, %rcx
	movq	%gs:guest_saved+32, %r11
	movq	%gs:guest_saved+16, %rsp
	swapgs
	sysretq
.Lby_iret:
	pushq	$__USER_DS
	pushq	%gs:guest_saved+16
	pushq	%gs:guest_saved+8
	pushq	$__USER_CS
	pushq	%gs:guest_saved
	movq	%gs:guest_saved+24, %rcx
	movq	%gs:guest_saved+32, %r11
	swapgs
	iretq

	.section .data..percpu,"aw",@progbits
	.balign	8
guest_saved:
	.fill	6, 8, 0
