/*
 * install_watchpoint: the kernel sets a data breakpoint for a user, a debugger or a guest.
 *
 * A data breakpoint on what the delivery of #DB itself reads or writes (its stack, the IDT, the GDT, the TSS), or on what its handler
 * touches before it has turned breakpoints off, is met again by each #DB, before the instruction that raised the first one
 * has been left behind: the loop never ends. (CVE-2015-8104 and XSA-156; Linux f9fe0b89f054, 97417cb9ad4e, c4bed4b96918,
 * fdef24dfccb7, 3943abf2dbfa.) Nothing in the handler helps against the first kind; so those addresses are refused.
 *
 * On AMD processors a breakpoint has a mask of address bits that do not count. What it covers is what must be asked for,
 * not where it begins (XSA-444, dc9d9aa62d).
 *
 *	RDI	address
 *	RSI	mask: the bits of the address that do not count (0: none); at most 32
 *	RAX	0, or -1: refused
 *
 * It uses DR1, 8 bytes, read and write. RCX and RDX change.
 *
 * Variants:
 *	UNCHECKED	refuses nothing
 *	MASK_UNCHECKED	looks at the address alone
 */
#define MSR_DR1_MASK		0xc0011019
/* G1; R/W1 = 11, LEN1 = 10 (8 bytes). */
#define DR7_WATCH1		0xb00008

/* The per-CPU entry areas: IDT, GDT, TSS and all exception stacks; and the per-CPU variables. */
#define CPU_ENTRY_AREA		0xfffffe0000000000
#define CPU_ENTRY_AREA_END	0xfffffe8000000000
#define PERCPU_SIZE		0x40000

	.text

	.globl	install_watchpoint
install_watchpoint:
#ifndef UNCHECKED
	/* RCX to RDX: the first and the last byte that it covers. */
	movq	%rdi, %rcx
	leaq	7(%rdi), %rdx
#ifndef MASK_UNCHECKED
	orq	%rsi, %rdx
	movq	%rsi, %rax
	notq	%rax
	andq	%rax, %rcx
#endif
	movabsq	$CPU_ENTRY_AREA, %rax
	cmpq	%rax, %rdx
	jb	1f
	movabsq	$CPU_ENTRY_AREA_END, %rax
	cmpq	%rax, %rcx
	jb	refused
1:	rdgsbase %rax
	cmpq	%rax, %rdx
	jb	2f
	addq	$PERCPU_SIZE, %rax
	cmpq	%rax, %rcx
	jb	refused
2:
#endif
	movq	%rdi, %dr1
	testq	%rsi, %rsi
	jz	3f
	movl	$MSR_DR1_MASK, %ecx
	movl	%esi, %eax
	xorl	%edx, %edx
	wrmsr
3:	movq	%dr7, %rax
	orl	$DR7_WATCH1, %eax
	movq	%rax, %dr7
	xorl	%eax, %eax
	ret
refused:
	movq	$-1, %rax
	ret
