/*
 * What objects of the Linux kernel itself refer to, where the image does not bring it along. Linked to images that are
 * the kernel's own entry code (they mention cpu_tss_rw), in place of linux.S, which is part of it. All weak.
 *
 * Variables as the kernel's C files define them, as far as entry code goes by their contents; and those helpers of entry code whose
 * result it uses, so that no stand-in could take their place. They are written from what they do, and the
 * functions of a whole kernel are used instead where there is one.
 */
#include "linux.S"

#define NMI_NOT_RUNNING		0
#define NMI_EXECUTING		1
#define NMI_LATCHED		2

/* DR7 with all breakpoints off. */
#define DR7_OFF			0x400

	.section .data..percpu..user_mapped,"aw",@progbits

	/*
	 * The TSS, on a page of its own. The harness fills in SP0 and the IST; SYSCALL parks the user's RSP in SP2. It begins
	 * the per-CPU area's page that user mode's page tables map.
	 */
	.balign	4096
	.weak	cpu_tss_rw
	.type	cpu_tss_rw, @object
	.size	cpu_tss_rw, 4096
cpu_tss_rw:
	.skip	4096

	.section .data..percpu,"aw",@progbits
	.balign	64

	/* Of exc_nmi, see below. */
	.weak	nmi_cr2, nmi_dr7, nmi_state
	.type	nmi_state, @object
	.size	nmi_state, 4
nmi_cr2:
	.quad	0
nmi_dr7:
	.quad	0
nmi_state:
	.long	NMI_NOT_RUNNING
	.balign	64

	/* struct tlb_state: which of the user's PCIDs have to be flushed; none. */
	.weak	cpu_tlbstate
	.type	cpu_tlbstate, @object
	.size	cpu_tlbstate, 128
cpu_tlbstate:
	.skip	128

	/* The stack canary is at offset 40. */
	.weak	fixed_percpu_data
fixed_percpu_data:
	.skip	48

	/* Where the per-CPU area of this processor lies. The harness fills it in. */
	.weak	this_cpu_off
this_cpu_off:
	.quad	0

	/* What SPEC_CTRL holds in the kernel. */
	.weak	x86_spec_ctrl_current
x86_spec_ctrl_current:
	.quad	0

	.weak	espfix_stack
espfix_stack:
	.quad	0

	.weak	espfix_waddr
espfix_waddr:
	.quad	0

	.data
	.balign	8

	/* The same as this_cpu_off, by the number of the processor. */
	.weak	__per_cpu_offset
__per_cpu_offset:
	.skip	64

	.section .entry.text,"ax",@progbits

	/* The selector that VERW is given: with the microcode that clears buffers any one will do. User mode's page tables map it. */
	.balign	64
	.weak	x86_verw_sel
x86_verw_sel:
	.value	__KERNEL_DS
	.balign	64

	.text

	/*
	 * RDI: pt_regs on the stack of an entry from ring 3 (the entry stack, or an IST stack). Returns where they are on the thread's stack,
	 * after moving them there.
	 */
	.weak	sync_regs
sync_regs:
	movq	%gs:cpu_current_top_of_stack, %rax
	subq	$PT_SIZE, %rax
	cmpq	%rdi, %rax
	je	.Lsynced
	movq	%rdi, %rsi
	movq	%rax, %rdi
	movl	$PT_SIZE/8, %ecx
	rep movsq
.Lsynced:
	ret

	/*
	 * RDI: pt_regs of the fault of an IRETQ to ring 3, below the frame that it was to load. Returns the place on the thread's
	 * stack where pt_regs look as if ring 3 had faulted: that frame, and the registers of the fault, which are still the user's.
	 */
	.weak	fixup_bad_iret
fixup_bad_iret:
	movq	PT_RSP(%rdi), %r8		/* the frame that IRETQ found */
	movq	%gs:cpu_current_top_of_stack, %rax
	subq	$PT_SIZE, %rax
	/* The two may overlap, the frame lying in what is written: it is kept in registers meanwhile. */
	pushq	32(%r8)
	pushq	24(%r8)
	pushq	16(%r8)
	pushq	8(%r8)
	pushq	(%r8)
	movq	%rdi, %rsi
	movq	%rax, %rdi
	movl	$PT_RIP/8, %ecx
	rep movsq
	popq	PT_RIP(%rax)
	popq	PT_CS(%rax)
	popq	PT_RFLAGS(%rax)
	popq	PT_RSP(%rax)
	popq	PT_SS(%rax)
	ret

	/* RDI: pt_regs of a #VC from ring 3 on its IST stack. Returns the stack to go on with: as sync_regs. */
	.weak	vc_switch_off_ist
vc_switch_off_ist:
	jmp	sync_regs

	/* Returns, for kernels that are built with return thunks, and the way to untrain them: it leaves no trace but time. */
	.weak	__x86_return_thunk
__x86_return_thunk:
	ret
	int3

	.irp	name, entry_untrain_ret, srso_alias_untrain_ret, retbleed_untrain_ret, srso_untrain_ret
	.weak	\name
\name:
	ret
	int3
	.endr

	/* Uses RAX, RCX and RDX, as the MSR is written. The barrier itself leaves no trace. */
	.weak	entry_ibpb
entry_ibpb:
	movl	$0x49, %ecx			/* IA32_PRED_CMD */
	movl	$1, %eax
	xorl	%edx, %edx
	wrmsr
	ret
	int3

	/* Indirect branches, for kernels that are built with retpolines. */
	.irp	reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	.weak	__x86_indirect_thunk_\reg
__x86_indirect_thunk_\reg:
	jmp	*%\reg
	int3
	.endr

	/*
	 * The C function behind the NMI entry: what it has around the body that keeps NMIs apart which the entry lets through, those from
	 * ring 3, whose handler runs on the thread's stack. While the state is not NOT_RUNNING, another one only says that it has
	 * come, and the body is run once more. CR2 and DR7 are given back as they were. asm/linux_do_nmi.S has more of it, and the reasons.
	 */
	.weak	exc_nmi
	.globl	exc_nmi_end
	.type	exc_nmi, @function
exc_nmi:
	cmpl	$NMI_NOT_RUNNING, %gs:nmi_state
	jne	.Lnmi_latch
	movl	$NMI_EXECUTING, %gs:nmi_state
	pushq	%rbx
	movq	%rdi, %rbx
.Lnmi_restart:
	movq	%cr2, %rax
	movq	%rax, %gs:nmi_cr2
	movq	%dr7, %rax
	movq	%rax, %gs:nmi_dr7
	movl	$DR7_OFF, %eax
	movq	%rax, %dr7
	movq	%rbx, %rdi
	call	default_do_nmi
	movq	%gs:nmi_dr7, %rax
	movq	%rax, %dr7
	movq	%cr2, %rax
	cmpq	%gs:nmi_cr2, %rax
	je	.Lnmi_cr2_kept
	movq	%gs:nmi_cr2, %rax
	movq	%rax, %cr2
.Lnmi_cr2_kept:
	decl	%gs:nmi_state
	jnz	.Lnmi_restart
	popq	%rbx
	ret
.Lnmi_latch:
	movl	$NMI_LATCHED, %gs:nmi_state
	ret
exc_nmi_end:
	int3

	/*
	 * The C functions behind the machine-check entries: the body, and then MCIP is cleared: from there to the IRETQ a second machine check is
	 * no shutdown, but comes to the same IST stack.
	 */
	.irp	name, exc_machine_check, noist_exc_machine_check
	.weak	\name
	.globl	\name\()_end
	.type	\name, @function
\name:
	pushq	%rbx
	movq	%rdi, %rbx
	call	do_machine_check
	movl	$MSR_IA32_MCG_STATUS, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rbx
	ret
\name\()_end:
	int3
	.endr
