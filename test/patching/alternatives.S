/*
 * Places that the boot code patches, with entries in one of the layouts that kernels have had: LAYOUT is 12 (NOT in bit 15),
 * 13 (padding), 14 (flags) or 1 (Xen).
 */
#define PTI		(7 * 32 + 11)
#define XENPV		(8 * 32 + 16)
#define FSGSBASE	(9 * 32 + 0)
#define SMAP		(9 * 32 + 20)

.macro entry feature, not
	.pushsection .altinstructions, "a"
	.long	771b - .
	.long	881f - .
#if LAYOUT == 12
	.word	\feature + \not * 0x8000
	.byte	773b - 771b, 882f - 881f
#elif LAYOUT == 13
	.word	\feature
	.byte	773b - 771b, 882f - 881f, 773b - 772b
#elif LAYOUT == 14
	.word	\feature, \not
	.byte	773b - 771b, 882f - 881f
#else
	.word	\feature
	.byte	772b - 771b, 882f - 881f, 773b - 772b, 0
#endif
	.popsection
.endm

.macro alternative old, new, feature, not=0
771:	\old
772:	.skip	-(((882f - 881f) - (772b - 771b)) > 0) * ((882f - 881f) - (772b - 771b)), 0x90
773:	entry	\feature, \not
	.pushsection .altinstr_replacement, "ax"
881:	\new
882:	.popsection
.endm

	.text
	.globl	nmi
nmi:
smap:	alternative "", "clac", SMAP
call:	alternative "call far_away", "call near_by", PTI
near:	alternative "jmp far_away", "jmp near_by", PTI
both:	alternative "pushq $1; popq %rax", "rdgsbase %rax; nop; nop; nop; nop", FSGSBASE
twice:
771:	nop
772:	.skip	7, 0x90
773:	entry	PTI, 0
	.pushsection .altinstr_replacement, "ax"
881:	bts	$63, %rax
882:	.popsection
	entry	SMAP, 0
	.pushsection .altinstr_replacement, "ax"
881:	stac
882:	.popsection
#if LAYOUT == 12 || LAYOUT == 14
absent:	alternative "swapgs", "lfence", FSGSBASE, 1
#endif
empty:	alternative "movq $1, 16(%rsp)", "", PTI
back:	alternative "jmp smap", "jmp near_by", XENPV
	iretq
near_by:
	ret
	.skip	200, 0xcc
	.globl	far_away
far_away:
	ret
