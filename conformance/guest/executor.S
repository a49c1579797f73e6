# Runs programs one after the other: puts each one's memory and registers in place, enters it with IRETQ, and stores
# what the first event that reaches a stub (below) finds. Linked at EXECUTOR; all of RAM is mapped there, and nowhere
# else outside the regions that programs see, so that absolute 32-bit addresses reach everything without a register.
#
# Offsets into a state (a register each, 8 bytes) are those of conformance/state.ts, given as symbols S_...

	.set	MSR_EFER, 0xc0000080
	.set	MSR_STAR, 0xc0000081
	.set	MSR_LSTAR, 0xc0000082
	.set	MSR_FMASK, 0xc0000084
	.set	MSR_FS_BASE, 0xc0000100
	.set	MSR_GS_BASE, 0xc0000101
	.set	MSR_KERNEL_GS_BASE, 0xc0000102
	.set	MSR_TSC_AUX, 0xc0000103
	.set	MSR_SYSENTER_CS, 0x174
	.set	MSR_SYSENTER_ESP, 0x175
	.set	MSR_SYSENTER_EIP, 0x176

	# What the executor itself runs with.
	.set	OWN_CR0, 0x80010033
	.set	OWN_CR4, 0x10020		# PAE, FSGSBASE
	.set	OWN_EFER, 0xd01

	# The control block: what the host and the executor tell each other.
	.set	C_COUNT, CONTROL			# programs in this batch
	.set	C_INDEX, CONTROL + 8		# the program that runs
	.set	C_INPUT, CONTROL + 16		# its record
	.set	C_OUTPUT, CONTROL + 24		# where its result goes
	.set	C_RUNNING, CONTROL + 32		# 1 while a program runs
	.set	C_BLOCKS, CONTROL + 40		# blocks of memory (BLOCK bytes) that hold the image
	.set	C_DONE, CONTROL + 48		# 1 when all have run

	.macro	load_msr number, offset
	movl	$\number, %ecx
	movl	\offset(%rbp), %eax
	movl	\offset+4(%rbp), %edx
	wrmsr
	.endm

	.macro	store_msr number, offset
	movl	$\number, %ecx
	rdmsr
	movl	%eax, SAVED+\offset
	movl	%edx, SAVED+\offset+4
	.endm

	.text
	.globl	entry
entry:
	# One emulator hands out the blocks of its memory in the order in which they are first touched, and has
	# loaded the image as if that order were the one of their addresses. So touch them in that order first.
	movq	$CONTROL_PHYSICAL, %rsi
	movq	C_BLOCKS-CONTROL(%rsi), %rcx
	movl	$0x100000, %esi
1:	movq	(%rsi), %rax
	addq	$BLOCK, %rsi
	loop	1b
	movabsq	$high, %rax
	jmp	*%rax

high:
	movl	$OWN_CR0, %eax
	movq	%rax, %cr0
	movl	$OWN_CR4, %eax
	movq	%rax, %cr4
	movl	$MAIN_CR3, %eax
	movq	%rax, %cr3
	movq	$STACK_TOP, %rsp
	lgdt	own_gdtr
	lidt	no_idtr
	movl	$0x10, %eax
	movl	%eax, %ss
	cmpq	$0, C_RUNNING
	je	next
	# The program that ran last has shut the processor down.
	movq	$-1, SAVED+S_STUB
	jmp	finish

	# The next program.
next:
	movq	C_INDEX, %rax
	cmpq	C_COUNT, %rax
	jae	done
	movq	C_INPUT, %rbp
	# Its memory: words of 8 bytes that differ from the template.
	movl	RECORD_PATCHES(%rbp), %edx
	leaq	RECORD_HEADER(%rbp), %rsi
	testl	%edx, %edx
	jz	2f
1:	movl	(%rsi), %edi
	movl	4(%rsi), %ecx
	addq	$8, %rsi
	leaq	LIVE(,%rdi,8), %rdi
	rep movsq
	decl	%edx
	jnz	1b
2:	movq	$0, SAVED+S_STUB
	movq	$1, C_RUNNING
	# Its registers.
	movq	S_CR2(%rbp), %rax
	movq	%rax, %cr2
	load_msr MSR_STAR, S_STAR
	load_msr MSR_LSTAR, S_LSTAR
	load_msr MSR_FMASK, S_FMASK
	load_msr MSR_KERNEL_GS_BASE, S_KERNEL_GS_BASE
	load_msr MSR_TSC_AUX, S_TSC_AUX
	load_msr MSR_SYSENTER_CS, S_SYSENTER_CS
	load_msr MSR_SYSENTER_ESP, S_SYSENTER_ESP
	load_msr MSR_SYSENTER_EIP, S_SYSENTER_EIP
	load_msr MSR_EFER, S_EFER
	movq	S_DR0(%rbp), %rax
	movq	%rax, %db0
	movq	S_DR1(%rbp), %rax
	movq	%rax, %db1
	movq	S_DR2(%rbp), %rax
	movq	%rax, %db2
	movq	S_DR3(%rbp), %rax
	movq	%rax, %db3
	movq	S_DR6(%rbp), %rax
	movq	%rax, %db6
	movq	S_CR3(%rbp), %rax
	movq	%rax, %cr3
	movw	S_GDTR_LIMIT(%rbp), %ax
	movw	%ax, pseudo
	movq	S_GDTR_BASE(%rbp), %rax
	movq	%rax, pseudo+2
	lgdt	pseudo
	movw	S_IDTR_LIMIT(%rbp), %ax
	movw	%ax, pseudo
	movq	S_IDTR_BASE(%rbp), %rax
	movq	%rax, pseudo+2
	lidt	pseudo
	# LTR wants an available TSS and leaves a busy one; the template has it busy.
	movzwl	S_TR(%rbp), %eax
	movq	S_GDTR_BASE(%rbp), %rdx
	andb	$~2, 5(%rdx,%rax)
	ltr	%ax
	lldt	S_LDTR(%rbp)
	movw	S_DS(%rbp), %ds
	movw	S_ES(%rbp), %es
	movw	S_FS(%rbp), %fs
	movw	S_GS(%rbp), %gs
	load_msr MSR_FS_BASE, S_FS_BASE
	load_msr MSR_GS_BASE, S_GS_BASE
	movq	S_CR4(%rbp), %rax
	movq	%rax, %cr4
	movq	S_CR0(%rbp), %rax
	movq	%rax, %cr0
	movq	S_DR7(%rbp), %rax
	movq	%rax, %db7
	pushq	S_SS(%rbp)
	pushq	S_RSP(%rbp)
	pushq	S_RFLAGS(%rbp)
	pushq	S_CS(%rbp)
	pushq	S_RIP(%rbp)
	movq	S_RAX(%rbp), %rax
	movq	S_RCX(%rbp), %rcx
	movq	S_RDX(%rbp), %rdx
	movq	S_RBX(%rbp), %rbx
	movq	S_RSI(%rbp), %rsi
	movq	S_RDI(%rbp), %rdi
	movq	S_R8(%rbp), %r8
	movq	S_R9(%rbp), %r9
	movq	S_R10(%rbp), %r10
	movq	S_R11(%rbp), %r11
	movq	S_R12(%rbp), %r12
	movq	S_R13(%rbp), %r13
	movq	S_R14(%rbp), %r14
	movq	S_R15(%rbp), %r15
	movq	S_RBP(%rbp), %rbp
	iretq

	# A program has come to a stub, which has stored its number. Nothing may be changed before it is saved.
collect:
	movq	%rax, SAVED+S_RAX
	movq	%rcx, SAVED+S_RCX
	movq	%rdx, SAVED+S_RDX
	movq	%rbx, SAVED+S_RBX
	movq	%rsp, SAVED+S_RSP
	movq	%rbp, SAVED+S_RBP
	movq	%rsi, SAVED+S_RSI
	movq	%rdi, SAVED+S_RDI
	movq	%r8, SAVED+S_R8
	movq	%r9, SAVED+S_R9
	movq	%r10, SAVED+S_R10
	movq	%r11, SAVED+S_R11
	movq	%r12, SAVED+S_R12
	movq	%r13, SAVED+S_R13
	movq	%r14, SAVED+S_R14
	movq	%r15, SAVED+S_R15
	movq	$STACK_TOP, %rsp
	pushfq
	popq	SAVED+S_RFLAGS
	pushq	$2
	popfq
	movq	%db7, %rax
	movq	%rax, SAVED+S_DR7
	movl	$0x400, %eax
	movq	%rax, %db7
	movq	%db0, %rax
	movq	%rax, SAVED+S_DR0
	movq	%db1, %rax
	movq	%rax, SAVED+S_DR1
	movq	%db2, %rax
	movq	%rax, SAVED+S_DR2
	movq	%db3, %rax
	movq	%rax, SAVED+S_DR3
	movq	%db6, %rax
	movq	%rax, SAVED+S_DR6
	movl	%cs, %eax
	movq	%rax, SAVED+S_CS
	movl	%ss, %eax
	movq	%rax, SAVED+S_SS
	movl	%ds, %eax
	movq	%rax, SAVED+S_DS
	movl	%es, %eax
	movq	%rax, SAVED+S_ES
	movl	%fs, %eax
	movq	%rax, SAVED+S_FS
	movl	%gs, %eax
	movq	%rax, SAVED+S_GS
	movq	%cr0, %rax
	movq	%rax, SAVED+S_CR0
	movq	%cr2, %rax
	movq	%rax, SAVED+S_CR2
	movq	%cr3, %rax
	movq	%rax, SAVED+S_CR3
	movq	%cr4, %rax
	movq	%rax, SAVED+S_CR4
	store_msr MSR_EFER, S_EFER
	store_msr MSR_STAR, S_STAR
	store_msr MSR_LSTAR, S_LSTAR
	store_msr MSR_FMASK, S_FMASK
	store_msr MSR_FS_BASE, S_FS_BASE
	store_msr MSR_GS_BASE, S_GS_BASE
	store_msr MSR_KERNEL_GS_BASE, S_KERNEL_GS_BASE
	store_msr MSR_TSC_AUX, S_TSC_AUX
	store_msr MSR_SYSENTER_CS, S_SYSENTER_CS
	store_msr MSR_SYSENTER_ESP, S_SYSENTER_ESP
	store_msr MSR_SYSENTER_EIP, S_SYSENTER_EIP
	xorl	%eax, %eax
	sgdt	pseudo
	movw	pseudo, %ax
	movq	%rax, SAVED+S_GDTR_LIMIT
	movq	pseudo+2, %rdx
	movq	%rdx, SAVED+S_GDTR_BASE
	sidt	pseudo
	movw	pseudo, %ax
	movq	%rax, SAVED+S_IDTR_LIMIT
	movq	pseudo+2, %rdx
	movq	%rdx, SAVED+S_IDTR_BASE
	str	%eax
	movzwl	%ax, %eax
	movq	%rax, SAVED+S_TR
	sldt	%eax
	movzwl	%ax, %eax
	movq	%rax, SAVED+S_LDTR
	# Back to what the executor runs with.
	lgdt	own_gdtr
	lidt	no_idtr
	movl	$0x10, %eax
	movl	%eax, %ss
	xorl	%eax, %eax
	lldt	%ax
	movl	$OWN_CR0, %eax
	movq	%rax, %cr0
	movl	$OWN_CR4, %eax
	movq	%rax, %cr4
	movl	$MAIN_CR3, %eax
	movq	%rax, %cr3
	movl	$MSR_EFER, %ecx
	movl	$OWN_EFER, %eax
	xorl	%edx, %edx
	wrmsr

	# The result: stub, registers, words that differ from the template; these are put right again.
finish:
	movq	C_OUTPUT, %rdi
	leaq	8(%rdi), %rdi
	movq	$SAVED, %rsi
	movl	$STATE_WORDS, %ecx
	rep movsq
	movq	%rdi, %rbx
	movq	$LIVE, %rdi
	movq	$TEMPLATE, %rsi
	movl	$LIVE_WORDS, %ecx
1:	cmpq	%rcx, %rcx			# ZF, should nothing be left to compare
	repe cmpsq
	je	2f
	movq	-8(%rdi), %rdx
	leaq	-8(%rdi), %rax
	subq	$LIVE, %rax
	shrq	$3, %rax
	movq	%rax, (%rbx)
	movq	%rdx, 8(%rbx)
	addq	$16, %rbx
	movq	-8(%rsi), %rdx
	movq	%rdx, -8(%rdi)
	jmp	1b
2:	movq	C_OUTPUT, %rdi
	movq	%rbx, %rax
	subq	%rdi, %rax
	movq	%rax, (%rdi)			# length of the result
	movq	%rbx, C_OUTPUT
	movq	C_INPUT, %rbp
	movl	(%rbp), %eax
	addq	%rax, C_INPUT
	movq	$0, C_RUNNING
	incq	C_INDEX
	jmp	next

done:
	movq	$1, C_DONE
	movw	$0xf4, %dx			# ends QEMU
	xorl	%eax, %eax
	outl	%eax, %dx
1:	xchgw	%bx, %bx			# stops in Bochs's debugger
	jmp	1b

	.balign 8
own_gdt:
	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
own_gdtr:
	.word	23
	.quad	own_gdt
no_idtr:
	.word	0
	.quad	0
	.balign 8
pseudo:
	.quad	0, 0

	# One stub for each vector, and one each for the targets of SYSCALL and SYSENTER. Programs see these pages alone.
	.section .stubs, "ax"
	.set	n, 0
	.rept	STUBS
	.balign	16, 0xcc
	movw	$n, SAVED+S_STUB
	jmp	collect
	.set	n, n + 1
	.endr
