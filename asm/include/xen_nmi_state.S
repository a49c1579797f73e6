/*
 * do_nmi(cpu_user_regs *regs): the body, default_do_nmi, is not entered while it runs. From the hypervisor the entry code sees
 * to that; but a guest's NMI runs on the primary stack, where it does not keep another one from being a first one. So the
 * second one only leaves word, as in Linux since 4.2.
 */
#define NMI_NOT_RUNNING		0
#define NMI_EXECUTING		1
#define NMI_LATCHED		2

	.globl	do_nmi
	.globl	do_nmi_end
do_nmi:
	GET_PERCPU %rax
	cmpl	$NMI_NOT_RUNNING, nmi_state(%rax)
	jne	do_nmi_latch
	movl	$NMI_EXECUTING, nmi_state(%rax)
	pushq	%rbx
	pushq	%r12
	movq	%rax, %r12
	movq	%rdi, %rbx
nmi_again:
	movq	%rbx, %rdi
	call	default_do_nmi
	/* In one instruction: what latches before it is seen, what comes after it finds nobody running. */
	decl	nmi_state(%r12)
	jnz	nmi_again
	popq	%r12
	popq	%rbx
	ret

do_nmi_latch:
	movl	$NMI_LATCHED, nmi_state(%rax)
	ret
do_nmi_end:
	int3				/* not reached: gives the label an address of its own */

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	nmi_state
nmi_state:
	.long	NMI_NOT_RUNNING
	.long	0
	.text
