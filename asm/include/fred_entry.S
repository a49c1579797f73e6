/*
 * FRED's two entry points, for files that have their own dispatch: fred_entry_from_user(pt_regs *regs) and
 * fred_entry_from_kernel(pt_regs *regs). The error code is in the place of orig_rax; the processor's frame goes on above SS.
 */
	.text
	.balign	4096

	.globl	asm_fred_entrypoint_user
asm_fred_entrypoint_user:
	PUSH_REGS
	movq	%rsp, %rdi
	call	fred_entry_from_user
fred_exit_user:
	POP_REGS
user_return:
	eretu
	.globl	user_return_end
user_return_end:

	/* Ring 0 comes in 256 bytes from the start of the page. */
	.org	asm_fred_entrypoint_user+256, 0xcc

	.globl	asm_fred_entrypoint_kernel
asm_fred_entrypoint_kernel:
	PUSH_REGS
	movq	%rsp, %rdi
	call	fred_entry_from_kernel
fred_exit_kernel:
	POP_REGS
kernel_return:
	erets
