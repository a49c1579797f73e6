/** An NMI handler that is patched at boot, as Linux 6.1 has it. */

/** One entry of `.altinstructions`: the place, what replaces it, the feature's number, both sizes. */
const entry = (place: number, feature: string): string => `
	.pushsection .altinstr_replacement, "ax"
9${place}:	movl	$0, %eax
	.popsection
	.pushsection .altinstructions, "a"
	.long	1${place}b - ., 9${place}b - .
	.value	${feature}
	.byte	5, 5
	.popsection`;

/**
 * Five NOPs are replaced by a move to RAX, which is the interrupted code's, on a processor with SMAP; five others, which are jumped over, on
 * one with FSGSBASE.
 */
export const PATCHED_HANDLER = `	.text
	.globl	nmi
nmi:
	jmp	.Lover
11:	.skip	5, 0x90
.Lover:
12:	.skip	5, 0x90
	iretq
${entry(1, '9*32+0')}
${entry(2, '9*32+20')}
`;
