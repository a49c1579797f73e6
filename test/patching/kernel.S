/* What only a whole kernel has: static calls, paravirt sites, calls of __fentry__, sealed ENDBRs, its version. */
	.text
	.globl	nmi, __fentry__, pv_ops, _paravirt_nop, paravirt_BUG, native_one, linux_banner, __static_call_return0
nmi:
fentry:	call	__fentry__
static_one:
	call	nothing
static_tail:
	.byte	0xe9
	.long	nothing - . - 4
static_none:
	call	nothing
static_tail_none:
	.byte	0xe9
	.long	nothing - . - 4
static_zero:
	call	nothing
para:	call	*pv_ops(%rip)
	nop
para_nop:
	call	*pv_ops+8(%rip)
	nop
para_null:
	call	*pv_ops+16(%rip)
	nop
endbr:	endbr64
limit:	.byte	0x48, 0xb8
limit_value:
	.quad	0x0123456789abcdef
end:	iretq
#ifdef REINIT
	.globl	static_call_force_reinit
static_call_force_reinit:
	ret
#endif
	.globl	__x86_return_thunk
__x86_return_thunk:
	ret
nothing:
__fentry__:
	ret
_paravirt_nop:
	ret
paravirt_BUG:
	ret
native_one:
	ret
__static_call_return0:
	xorl	%eax, %eax
	ret

	.macro	static_site at, key, flags
	.long	\at - ., \key - . + \flags
	.endm
	.section .rodata, "a"
linux_banner:
	.asciz	BANNER
	.section .static_call_sites, "a"
	static_site static_one, key_one, 0
	static_site static_tail, key_one, 1
	static_site static_none, key_null, 0
	static_site static_tail_none, key_null, 1
	static_site static_zero, key_zero, 0
	.section __mcount_loc, "a"
	.quad	fentry
	.section .ibt_endbr_seal, "a"
	.long	endbr - .
	.section runtime_ptr_USER_PTR_MAX, "a"
	.long	limit_value - .
	.section .parainstructions, "a"
	.macro	para_site at, type
	.quad	\at
	.byte	\type, 7
	.skip	6
	.endm
	para_site para, 0
	para_site para_nop, 1
	para_site para_null, 2
	.section .altinstructions, "a"
	.long	end - ., 1f - .
	.word	9 * 32 + 20
	.byte	2, 2
	.section .altinstr_replacement, "ax"
1:	iretq
	.data
	.balign	8
pv_ops:	.quad	native_one, _paravirt_nop, 0
key_one: .quad	native_one, 0
key_null: .quad	0, 0
key_zero: .quad	__static_call_return0, 0
