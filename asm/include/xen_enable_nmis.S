/* enable_nmis: an IRET to the instruction behind it, which is what unblocks NMIs. Changes rax. */
	.globl	enable_nmis
enable_nmis:
	movq	%rsp, %rax
	pushq	$__HYPERVISOR_DS32
	pushq	%rax
	pushfq
	pushq	$__HYPERVISOR_CS
	leaq	.Lnmis_enabled(%rip), %rax
	pushq	%rax
	iretq
.Lnmis_enabled:
	ret
