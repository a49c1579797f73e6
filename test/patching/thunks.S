/* Returns and indirect branches that are compiled for thunks, listed as objtool lists them unless BARE is defined. */
.macro site table
#ifndef BARE
	.pushsection \table, "a"
	.long	1f - .
	.popsection
#endif
1:
.endm

	.text
	.globl	nmi
nmi:
calls:	site .retpoline_sites
	call	__x86_indirect_thunk_rax
calls_high:	site .retpoline_sites
	.byte	0x2e
	call	__x86_indirect_thunk_r11
jumps:	site .retpoline_sites
	jmp	__x86_indirect_thunk_rdx
	int3
returns:
	site .return_sites
	jmp	__x86_return_thunk
	.balign	128, 0xcc
	.skip	32, 0xcc
upper:
	site .return_sites
	jmp	__x86_return_thunk
end:	iretq

	.balign	32
	.globl	__x86_indirect_thunk_array
__x86_indirect_thunk_array:
	.globl	__x86_indirect_thunk_rax, __x86_indirect_thunk_rdx, __x86_indirect_thunk_r11
__x86_indirect_thunk_rax:
	jmp	*%rax
	.balign	32
__x86_indirect_thunk_rdx:
	jmp	*%rdx
	.balign	32
__x86_indirect_thunk_r11:
	jmp	*%r11
	.balign	64
	.globl	__x86_indirect_its_thunk_array
__x86_indirect_its_thunk_array:
	.skip	16 * 64, 0xcc
	.globl	__x86_return_thunk, retbleed_return_thunk, srso_return_thunk, its_return_thunk
__x86_return_thunk:
	ret
retbleed_return_thunk:
	ret
srso_return_thunk:
	ret
its_return_thunk:
	ret
