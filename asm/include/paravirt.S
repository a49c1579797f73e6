/*
 * PARAVIRT_HOOK: what a kernel with PARAVIRT puts before the first instruction of an entry, PARAVIRT_ADJUST_EXCEPTION_FRAME: the call
 * of a C function that only does something under Xen. It is a call all the same: its return address goes to the first word
 * below the hardware frame, and rbp, which C functions save with frame pointers, to the second.
 */
#if defined(PARAVIRT_HOOK) && !defined(ENTRACE_PARAVIRT_S)
#define ENTRACE_PARAVIRT_S

	.text

paravirt_adjust_exception_frame:
	pushq	%rbp
	movq	%rsp, %rbp
	popq	%rbp
	ret

#endif
