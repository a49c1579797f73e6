import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { assembleWithGnu, differencesFrom, gnuMissing } from './gnu.js';

const skip = gnuMissing ?? false;

/** Asserts that a whole file gives what GNU as gives: sections, bytes, relocations, symbols. */
async function same(text: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  const assembler = await Assembler.create();
  const module = assembler.assembleText(text, 'input.S', {
    readFile: (path) => {
      const content = files[path];
      if (content === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
      return content;
    },
  });
  assert.deepEqual(differencesFrom(module, assembleWithGnu(text, files, ['-Wa,-W', '-w'])), []);
}

test('C preprocessor: object-like and function-like macros', { skip }, () =>
  same(`
#define FRAME 6*8
#define SLOT(n) (n)*8(%rsp)
#define STR(x) #x
#define CAT(a, b) a ## b
#define LOAD(value, reg) movq $(value), %CAT(r, reg)
#define TEXT(format, ...) .ascii format, ##__VA_ARGS__
#define BEGIN(name) .globl name ; .p2align 4 ; name :
#define END(name) .size name, . - name ; .type name, @function
#define TWO \\
	nop ; \\
	hlt
#define EMPTY
#define MINUS_ONE -1
#define SELF SELF
#define PING PONG
#define PONG PING
BEGIN(first)	/* comment */ LOAD(5, ax) // trailing
	TWO
	subq $FRAME, %rsp
	pushq SLOT(5)
	TEXT("hello\\n", "x")
	TEXT("only")
	.ascii STR(a b "c")
	mov EMPTY %rax, EMPTY %rbx
	movl $MINUS_ONE, %eax
	movl $4-MINUS_ONE, %eax
	LOAD(1 + 2,
	  bx)
	call SELF
	call PING
	.quad __LINE__
END(first)
#undef FRAME
#ifndef FRAME
	.byte 1
#endif
`),
);

test('C preprocessor: conditions', { skip }, () =>
  same(`
#define ONE 1
#define ZERO 0
#define TWICE(x) ((x) + (x))
#if ONE && defined(NOPE)
	.byte 1
#elif !defined(NOPE) && (ONE + 1 == 2) \\
   && 1
	.byte 2
# if ZERO
	don't care, "unterminated
#  error not reached
# elif TWICE(2) == 4 && -1 < 0 && (1 ? 2 : 3) == 2
	.byte 3
# else
	.byte 4
# endif
#else
#error not reached
#endif
#ifdef __ASSEMBLER__
	.byte 5
#endif
#if defined __x86_64__ && __SIZEOF_POINTER__ == 8 && 0x10UL == 16 && ~0 == -1 && (7 & 3 | 8 ^ 1) == 11
	.byte 6
#endif
#if NOT_A_MACRO
	.byte 7
#endif
`),
);

test('C preprocessor: includes, guards, comments', { skip }, () =>
  same(
    `
#include "one.h"
#include "one.h"
# plain comment with don't and "quote
	nop # tail don't
	pushq $SELECTOR /* over
	two lines */ ; hlt
	.byte '"', 'a' # '
	.ascii "/* no comment */ # // "
	.byte VALUE
`,
    {
      'one.h': '#ifndef ONE_H\n#define ONE_H\n#include "two.h"\n#define SELECTOR 0x18\n.byte 0x77\n#endif\n',
      'two.h': '#pragma once\n#define VALUE 42\n',
    },
  ),
);

test('macros: defaults, keywords, :req, :vararg, counters', { skip }, () =>
  same(`
.macro save first=%rdi second=%rsi keep=0
	.if \\keep
	movq (%rsp), \\second
	.else
	pushq \\second
	.endif
	pushq \\first
.endm
.macro entry vector name body code:req
.globl \\name
.p2align 4
\\name:
	endbr64
	.if \\code == 0
		pushq $-1
	.endif
	.if \\vector == 2
		testb $3, 8(%rsp)
		jnz .Lkernel_\\@
		.rept 5
		pushq 4*8(%rsp)
		.endr
.Lkernel_\\@:
	.elseif \\vector == 3
		nop
	.else
		hlt
	.endif
	save first=$0 keep=1
	call \\body
	.ifc \\body,do_nmi
		cli
	.endif
	.ifnc "\\body","do_nmi"
		sti
	.endif
	jmp out
.size \\name, . - \\name
.type \\name, @function
.endm
entry 2 nmi do_nmi code=0
entry vector=3, name=int3, body=do_int3 code=0
entry 14 page_fault do_page_fault 1
out:	iretq
.macro list x rest:vararg
	.ascii "\\x"
	.ifnb \\rest
	list \\rest
	.endif
.endm
list a b c d
list a,b,c
.macro preset a=5 b="x y", c = 6
	.byte \\a, \\c
	.ascii "\\b"
.endm
preset
preset 1 2 3
preset c=9
.macro early a
	.ifb \\a
	.byte 0xee
	.exitm
	.endif
	.byte \\a
.endm
early
early 5
.macro countdown n
	.byte \\n
	.if \\n
	countdown (\\n-1)
	.endif
.endm
countdown 4
.macro outer
	.macro inner z
	.byte \\z
	.endm
	inner 7
	.purgem inner
.endm
outer
outer
.macro glue a b
\\a\\()_\\b: .byte 1
.endm
glue x y
`),
);

test('macros: how arguments are cut at commas and white space', { skip }, () =>
  same(`
.macro show a b c d e f
	.ascii "<\\a|\\b|\\c|\\d|\\e|\\f>"
.endm
show 1 2 3
show 1, 2 ,3
show (%rax,%rbx) 2
show 4 (%rax), 5
show foo + 1 bar
show a -b c
show a - b, c
show $(1 << 9), %rax %rbx
show a+ b c
show "x y" z
show b=1
show 4(%rax , %rbx), 7
show -1 -2 -3
show *%rax [1 2] 3
show a ,, c
show a:b c : d
show a/b c / d
show 'a b c' d
show %rax, 4*8(%rsp), first, second
`),
);

test('repetition: .rept, .irp, .irpc, nested', { skip }, () =>
  same(`
.irp n,0,1,2,3
	.globl irq_\\n
irq_\\n: push $~(\\n)
	jmp common
	.balign 8
.endr
common:
.irpc d,0123
	.byte \\d, 0x\\d
.endr
.irp r rax rbx
	.irp s, rcx, rdx
	movq %\\r, %\\s
	.endr
.endr
.irp r
	.ascii "[\\r]"
.endr
.irp r "a b", c
	.ascii "[\\r]"
.endr
vector = 0x20
.rept 8
	pushq $~vector
	jmp common
	.align 8
	vector = vector + 1
.endr
.rept 0
	hlt
.endr
.rept 2; nop
.rept 2; cli
.endr
.endr
`),
);

test('numeric labels, .L labels, symbols and assignments', { skip }, () =>
  same(`
.macro hop
	jmp 1f
1:	nop
	jmp 1b
.endm
	hop
	hop
1:	nop
	jmp 1b
	ja 1f
	hop
1:
	.globl fixed, alias
	fixed = 0x1234
	plain = 77
	.equ behind, 1b+4
	.set alias, 1b+8
	call alias
	jmp alias
	jmp behind
	call behind
	mov $fixed, %eax
	.quad alias, behind, fixed, plain
	mov $later, %eax
	pushq $later
	mov later(%rax), %rax
	.set later, 3
	.weak maybe, unused_weak
	.hidden hidden
	call hidden
	call *maybe(%rip)
	.globl unused
	.local here
here:	nop
	jrcxz seen
	.globl seen
seen:	nop
	loop other_name
	.set other_name, seen
	.type object, @object
	.size object, 8
object:	.quad 0
	.size here, .-here
	counter = 1
	.byte counter
	counter = counter + 1
	.byte counter
	.set mark, .
	nop
	.long mark - .
	.set mark, .
	.long mark - .
.ifdef here
	.byte 1
.endif
.ifndef nowhere
	.byte 2
.endif
.ifeq 0
	.byte 3
.endif
.ifge -1
	.byte 4
.elseif 1
	.byte 5
.endif
`),
);

test('sections: switching, stacks, subsections, flags, merged strings', { skip }, () =>
  same(`
	.text
start:	nop
.macro patch old new
880:	\\old
881:	.skip -(((884f-883f)-(881b-880b)) > 0) * ((884f-883f)-(881b-880b)),0x90
882:
	.pushsection .table,"a"
	.long 880b - ., 883f - .
	.byte 882b-880b, 884f-883f
	.popsection
	.pushsection .replacement, "ax"
883:	\\new
884:	.popsection
.endm
	patch nop, "movq %rax, %cr3; call there"
	patch "jmp start", "swapgs"
	patch "stac", "stac"
	.section .rodata.str1.1,"aMS",@progbits,1
text:	.asciz "hello"
.Lmore:	.asciz "w"
	.text
	lea text(%rip), %rdi
	mov $text, %rdi
	mov $.Lmore, %rdi
	lea .Lmore(%rip), %rsi
	.data
	.quad text, .Lmore, text+1, start
	.bss
buffer:	.skip 64
	.lcomm second, 32
	.align 16
third:	.zero 3
	.section foo.bar
	.long 5
	.section .init.text
	nop
	.section "named", "aw", @nobits
	.skip 9
	.text 1
low:	hlt
	.text
	jmp low
	.subsection 2
	cli
	.previous
	nop
	.section .a,"ax"
	nop
	.section .b,"ax"
	hlt
	.previous
	cli
	.previous
	sti
	.pushsection .c,"ax"
	.previous
	int3
	.popsection
	ud2
	.section .note.test, "", @note
	.long 1
`),
);

test('relocations of every kind', { skip }, () =>
  same(`
	.globl open
	.weak soft
near:	nop
open:	nop
soft:	nop
	jmp open
	jmp soft
	jmp near
	je open
	call open
	call near
	call soft
	call gone
	jmp gone
	je gone
	jmp far
	lea far(%rip), %rax
	movl $5, far+4(%rip)
	movb $5, near(%rip)
	lea open(%rip), %rax
	lea soft(%rip), %rax
	mov $far, %rax
	movq $open, %rax
	mov $far, %eax
	movabs $far, %rax
	pushq $far
	mov far, %rax
	mov %gs:far, %rax
	mov %gs:far(%rip), %rax
	mov far(,%rax,8), %rbx
	mov %rax, far
	movabs far, %rax
	movw $far, %ax
	addl $far, %ebx
	cmpq $far, (%rax)
	jmp 0x1000
	call 0x1000
	mov 8(%rip), %rax
	jmp gone+5
	call gone@PLT
	.section .x, "ax"
	nop
far:	nop
	.long near-., open-., far-., soft-.
	.quad near-., open-., far-., gone-.
	.quad near, open, gone+5
	.long near, open
	.long open - near, near - far + 4
	.short gone
	.byte gone
	jmp *far(,%rax,8)
`),
);
