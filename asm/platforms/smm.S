/*
 * Plain SMM code, as firmware has it: 64-bit, flat, CPL 0, on a stack of its own, with a GDT and an IDT of its own.
 * The event smi begins at smi_handler, the event smi-iret at smi_handler_iret.
 *
 * Everything here is weak. RSM brings back all registers that SMM code uses, so it saves none.
 */

	.section .text.smm,"ax",@progbits

	.weak	smi_handler
smi_handler:
	rsm

/*
 * SMM code that takes an interrupt or an exception, or calls a BIOS that does: here only its IRET, which
 * unblocks NMIs. Frame from RSP up: RIP, CS, RFLAGS, RSP, SS.
 */
	.weak	smi_handler_iret
smi_handler_iret:
	movq	%rsp, %rax
	movl	%ss, %ecx
	movl	%cs, %edx
	leaq	smi_after_iret(%rip), %rbx
	pushq	%rcx
	pushq	%rax
	pushfq
	pushq	%rdx
	pushq	%rbx
	iretq
smi_after_iret:
	rsm

/* An NMI in SMM, after that IRET. It is lost for the system that was interrupted. */

	.weak	smm_nmi
smm_nmi:
	iretq
