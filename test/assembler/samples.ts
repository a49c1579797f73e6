/** Whole files in the dialect of entry code, one for each part of it. */

export interface Sample {
  readonly name: string;
  readonly text: string;
}

export const SAMPLES: readonly Sample[] = [
  {
    name: 'alternatives by label differences, and strings compared',
    text: `/* Xen-style ALTERNATIVE with differences, string compare macros */
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
.macro ALT oldinstr, newinstr, feature
140: \\oldinstr
141: .skip -(((144f-143f)-(141b-140b)) > 0) * ((144f-143f)-(141b-140b)),0x90
142:
 .pushsection .altinstructions, "a", @progbits
 .long 140b - ., 143f - .
 .word \\feature
 .byte 142b-140b, 144f-143f
 .popsection
 .pushsection .altinstr_replacement, "ax", @progbits
143: \\newinstr
144:
 .popsection
.endm
.macro cmpreg r
.ifc \\r,%rax
.byte 1
.else
.ifnc \\r, %rbx
.byte 2
.else
.byte 3
.endif
.endif
.ifeqs "\\r","%rcx"
.byte 4
.endif
.ifnes "\\r" , "%rcx"
.byte 5
.endif
.ifb \\r
.byte 6
.endif
.endm
cmpreg %rax
cmpreg %rbx
cmpreg %rcx
cmpreg
ALT "jmp 1f", __stringify(swapgs; lfence), 5
ALT "", "mov %cr3, %rax; call foo", (3*32+4)
1: ret
`,
  },
  {
    name: 'sections, subsections and stacks of them',
    text: `.section .a,"ax",@progbits
nop
.section .b,"aw"
.quad .a, .b
.previous
ret
.subsection 2
.byte 2
.subsection 1
.byte 1
.subsection 0
.byte 0
.previous
.byte 9
.pushsection .c,"aMS",@progbits,1
.asciz "hello"
.popsection
.pushsection .note.x,"a",@note
.long 4
.popsection
.pushsection .d, 3, "a"
.byte 3
.pushsection .d, 1
.byte 1
.popsection
.previous
.byte 7
.popsection
.section .grp,"axG",@progbits,sig,comdat
sig: call f
.section .grp2,"a?"
.byte 1
.section .lo,"ao",@progbits,.a
.quad .a
.section .init.text,"ax"
nop
.section .fixup
.byte 1
.section .tbss,"awT",@nobits
.skip 8
.section .excl,"e"
.byte 1
.text 1
.byte 0x11
.text
.byte 0x10
.data 2
.byte 2
.data
.byte 1
`,
  },
  {
    name: 'bindings and names for names',
    text: `.lcomm l1, 8
.lcomm l2, 3
.local lc
.comm lc, 8, 16
.weak w1, w2
w1: nop
call w2
.hidden h1
.globl h1
h1: call w1
mov w1(%rip), %eax
mov $l1, %rax
.quad lc, w1, w2, h1
.local loc
loc: jmp loc
.weak w3
.set w3, h1
jmp w3
.globl g1
g1 = h1 + 4
lea g1(%rip), %rax
.quad g1 - .
.equiv e1, 5
e2 == 6
.long e1, e2
.type h1,@function
.type w1,STT_FUNC
.size h1, .-h1
.protected p1
.internal i1
call p1
jmp i1
`,
  },
  {
    name: 'macros and repetitions',
    text: `.irp r, ax, bx, cx
push %r\\r
.endr
.irpc c, 0123
.byte \\c
.endr
.irp x
.byte 1\\x
.endr
.rept 3
.rept 2
.byte 1
.endr
.byte 2
.endr
.set n, 0
.rept 4
.quad sym+n
.set n, n+1
.endr
.macro gen n
lab\\n: .byte \\n
.endm
.macro many from, to
.if \\to - \\from + 1
gen \\from
many "(\\from+1)", \\to
.endif
.endm
.altmacro
.macro many2 from, to
.if to-from+1
gen %from
many2 %from+1, to
.endif
.endm
many2 3, 6
.noaltmacro
.macro opt a, b=2, c:vararg
.byte \\a
.byte \\b
.ifnb \\c
.byte \\c
.endif
.endm
opt 1
opt 1,,3,4
opt b=9,a=8
opt 1 2 3
.macro ex n
.byte \\n
.if \\n == 3
.exitm
.endif
.byte 0xff
.endm
ex 2
ex 3
.purgem ex
.macro ex n
.byte 0x77
.endm
ex 1
.macro atl
.L\\@: jmp .L\\@
.Lx\\@_y: jmp .Lx\\@_y
.endm
atl
atl
.macro nest a
.macro in_\\a b
.byte \\a, \\b
.endm
in_\\a 5
.endm
nest 1
nest 2
in_1 7
.macro vv x:req y:vararg
.ascii "\\x:\\y"
.endm
vv hello, a, b c
.macro par x
.byte \\x\\()1
.endm
par 2
`,
  },
  {
    name: 'alignment, space and data',
    text: `a: jmp b
.skip 100
.p2align 4,,15
b: nop
.p2align 5,0xcc
.p2align 3,,2
.balign 16
.align 8, 0x90
.balignw 4, 0x1234
.org a+400
.org 512, 0xaa
.fill 3,2,0x1234
.fill 2
.zero 4
.space 3, 1
.nops 9
.skip (c-b)/4
c:
jmp d
.skip 126
d: je a
.uleb128 d-c, 300, 0x80
.sleb128 -5, 64, -65
.uleb128 d-b
.byte 'a', 'b', '\\n', 1+2*3, ~0 & 0xff, !0, -1, (4>3), 3==3, 1||0, 2&&1, 7%4, 1<<3, 0x80>>4, 5^3, 5|2, 0377, 0b101
.2byte 1
.4byte a-b
.8byte a
.quad 0x123456789abcdef0
.octa 0x1
.short 5
.hword 6
.int 7
.dc.l 8
.dcb.b 2, 5
.ascii "a\\tb\\n\\x41\\101\\\\\\"", "c"
.asciz "x", "y"
.string "z"
.long a, b-a, .-a, . - b
.value e-d
e:
`,
  },
  {
    name: 'conditions and what is read without effect',
    text: `.ifdef a
.byte 1
.elseif 1
.byte 2
.endif
a: .ifdef a
.byte 3
.endif
.ifndef zz
.byte 4
.endif
.if 0
.macro foo
.endm
.garbage
.elseif 2 > 3
.else
.byte 5
.endif
.ifge 0
.byte 6
.endif
.iflt -1; .byte 7; .endif
.ifc a b , a b
.byte 8
.endif
.ifc "a", "a"
.byte 9
.endif
.ifeq 1-1
.byte 10
.endif
.if . - a > 2
.byte 11
.endif
.set x, 5
.if x == 5 && (x != 4)
.byte 12
.endif
.warning "w"
.print "hi"
.line 5
.file "foo.c"
.ident "me"
.version "1"
.att_syntax prefix
.code64
.arch generic64
.cfi_sections .debug_frame
.cfi_startproc
nop
.cfi_endproc
.global	__x; __x = 7
.eject
.list
.nolist
.title "x"
.sbttl "y"
.extern foo
.end
garbage here
`,
  },
  {
    name: 'what a name has of the symbol that it stands for',
    text: `f: nop
.set c0, f
.set c1, f+1
.type f, @function
.size f, .-f
.set c2, c1
.globl c3
.set c3, f
.set c4, c3
.globl z
z: jmp 9f
.skip 200
9: nop
.type z, @object
.size z, .-z
.set d0, z
.set d1, z+1
.set d2, 9b
.weak d3
.set d3, z
jmp d3
call d0
`,
  },
  {
    name: '.nops of every size',
    text: `.macro T n, c
.section .s\\n\\()_\\c,"ax"
.nops \\n, \\c
.endm
.irp c,0,1,3,4,8,11
.irp n, 0,1,5,8,11,12,30,31,32,40,80,87,88,90,100,128,129,130,200
T \\n, \\c
.endr
.endr
.section .fwd,"ax"
a: jmp b
.nops (d-c)*2, 9
b: nop
c: .skip 6
d:
.section .neg,"ax"
nop
`,
  },
  {
    name: '.altmacro',
    text: `.altmacro
.macro t a, b
LOCAL foo, bar
foo: .long \\a, b
bar: .long bar-foo
.ascii "x!y"
.endm
t 1, %2+3
t <1,2>, 7
t <1!,2>, %(4*2)
.macro s str
.ascii str
.endm
s <"a,b">
s <"!<x!>!!">
s <"x">
.macro q x
.ifb x
.byte 0xbb
.else
.ifc <x>,<5>
.byte 5
.endif
.byte x
.endif
.endm
q 5
q
q 'a'
.macro p n
p_&n: .byte n
.byte lab&n&z-p_&n
lab&n&z: .byte 2
.endm
i = 3
p %i
.rept 2
i = i+1
p %i
.endr
.irp v,<1,2>,3
.byte v
.endr
.irpc v, 123
.byte v
.endr
.macro w a=<3>, b:req
.byte a,b
.endm
w ,7
.macro nest x
LOCAL l1
l1: .byte x
.macro inner&x y
LOCAL l2
l2: .byte y, x, l2-l1
.endm
inner&x %x+1
.endm
nest 4
.macro vr a, rest:vararg
.byte a, rest
.endm
vr 1, 2, 3
vr %1+1, 5, 6
.noaltmacro
.macro z x
.byte \\x
.endm
z 5
`,
  },
  {
    name: '\\@ and & in bodies',
    text: `.macro m
.byte \\@
.endm
m
m
.irp a,7,8
.byte \\@, \\a
.endr
m
.irpc a,78
.byte \\@, \\a
.endr
.rept 1
.ascii "\\()q\\n"
.endr
.macro k a
.byte &a&1, 3 & a, 3 &q
.ascii "x & a &a&a&a"
.endm
.set q,1
k 1
.altmacro
.irp v, <1,2>, %1+2
.byte v
.endr
.macro k2 a
.irp z,1
LOCAL foo
.byte \\z, z, a
.endr
.endm
`,
  },
  {
    name: 'names for registers, and registers compared',
    text: `.set base, %rbx
count = %ecx
.macro frame reg
.if \\reg == %rsp
.byte 1
.elseif \\reg == %rbp
.byte 2
.elseif \\reg != base
.byte 3
.endif
.endm
frame %rsp
frame %rbp
frame %rdi
frame %rbx
mov base, 8(base,%rax,4)
movl $1, count
jmp *base
call *(base)
.set base, %r12
push base
0: jmp 0b
1: jmp 1b
`,
  },
  {
    name: 'statements behind a semicolon, in repetitions too',
    text: `n = 0 ; .rept 3 ; .quad n ; n = n + 1 ; .endr ; .byte 9
.macro two a, b ; .byte \\a ; .byte \\b ; .endm ; two 1, 2 ; .byte 3
.irp x, 1, 2 ; .byte \\x ; .endr ; two 4, 5
.if 1 ; .byte 6 ; .else ; .byte 7 ; .endif
`,
  },
  {
    name: 'a jump whose target this pass has not reached',
    text: `${'je 9f\nadd $1, %rax\n'.repeat(60)}.p2align 6
jb 8f
${'jne 7f\nnop\n'.repeat(30)}.p2align 4
8: nop
${'jmp 9f\n'.repeat(40)}.p2align 5
7: ret
9: ret
`,
  },
  {
    name: "entry code in Xen's manner",
    text: `/* Entry code in Xen's manner. */
#define as_true(x) (-(x))
#define as_max(a, b) ((a) ^ (((a) ^ (b)) & -as_true((a) < (b))))
#define SECTION(name) .section name, "ax", @progbits
#define ALIGN .p2align 4, 0x90
#define ENTRY(name) .globl name; ALIGN; name:
#define END(name) .size name, . - name; .type name, STT_FUNC
#define REGS ax, cx, dx, bx, bp, si, di
#define EXTABLE(from, to) .section .ex_table, "a"; .balign 4; .long from - ., to - .; .previous
.macro orig_insn text:vararg
.L\\@_start:
 \\text
.L\\@_end:
 .set orig_len, .L\\@_end - .L\\@_start
.endm
.macro alt_entry from to feature old new pad
 .long \\from - .
 .long \\to - .
 .word \\feature
 .byte \\old, \\new, \\pad
 .byte 0
.endm
.macro alternative oldinstr newinstr feature
.Lo\\@:
 \\oldinstr
.Le\\@:
 .nops as_max(0, (.Lre\\@ - .Lrs\\@) - (.Le\\@ - .Lo\\@)), 9
.Lp\\@:
 .pushsection .altinstructions, "a", @progbits
 alt_entry .Lo\\@, .Lrs\\@, \\feature, .Le\\@-.Lo\\@, .Lre\\@-.Lrs\\@, .Lp\\@-.Le\\@
 .popsection
 .pushsection .altinstr_replacement, "ax", @progbits
 .Lrs\\@: \\newinstr
 .Lre\\@:
 .popsection
.endm
.macro alternative_2 oldinstr new1 feat1 new2 feat2
.Lo\\@: \\oldinstr
.Le\\@:
 .skip as_true(as_max(.Lf\\@ - .Lr1\\@, .Lg\\@ - .Lf\\@) > (.Le\\@ - .Lo\\@)) * (as_max(.Lf\\@ - .Lr1\\@, .Lg\\@ - .Lf\\@) - (.Le\\@ - .Lo\\@)), 0x90
 .pushsection .altinstructions, "a", @progbits
 alt_entry .Lo\\@, .Lr1\\@, \\feat1, .Le\\@-.Lo\\@, .Lf\\@-.Lr1\\@, 0
 alt_entry .Lo\\@, .Lf\\@, \\feat2, 1, .Lg\\@-.Lf\\@, 0
 .popsection
 .pushsection .altinstr_replacement, "ax", @progbits
 .Lr1\\@: \\new1
 .Lf\\@: \\new2
 .Lg\\@:
 .popsection
.endm
.macro save_all compat=0
 cld
 .irp r, rdi, rsi, rdx, rcx, rax
 pushq %\\r
 .endr
 .if \\compat
 xorl %r8d, %r8d
 .else
 .irpc n, 89
 pushq %r\\n
 .endr
 .irp n, 10,11
 pushq %r\\n
 .endr
 .endif
 .rept 4
 pushq $0
 .endr
.endm
.macro thunk reg:req
 .ifeqs "\\reg", "rsp"
 .error "no thunk for rsp"
 .endif
 .section .text.thunk_\\reg, "ax", @progbits
ENTRY(thunk_\\reg)
 alternative_2 "call 1f; 2: pause; lfence; jmp 2b; 1: mov %\\reg, (%rsp); ret", "lfence; jmp *%\\reg", 3*32+1, "jmp *%\\reg", 3*32+2
END(thunk_\\reg)
 .previous
.endm
.macro get_stack_end reg
 .ifc \\reg, %rsp
 .error "bad"
 .endif
 movl $(1 << 15) - 1, %e\\reg
 orq %rsp, %r\\reg
.endm
 SECTION(.text.entry)
ENTRY(handle_nmi)
 alternative "", clac, (9*32+20)
 pushq $0
 movl $2, 4(%rsp)
 save_all
 get_stack_end bx
 testb $3, cs_offset(%rsp)
 jz .Lfrom_ring0
 alternative "lfence", "mov %cr4, %rax; btr $7, %rax; mov %rax, %cr4", 5
 .subsection 1
.Lfrom_ring0:
 movq $0x1122334455667788, %rax
 lea table(, %rax, 8), %rcx
.Lfault: movl (%rcx), %eax
 jmp .Lback
.Lfix: ud2
 .subsection 0
.Lback:
 EXTABLE(.Lfault, .Lfix)
 call do_nmi
 jmp restore
END(handle_nmi)
ENTRY(restore)
 addq $(8*4), %rsp
 ALIGN
1: iretq
 .pushsection .fixup, "ax"
fault_in_iret: jmp restore
 .popsection
 EXTABLE(1b, fault_in_iret)
END(restore)
 .set cs_offset, 8*14
 .section .rodata
 .balign 8
table:
 .set v, 0
 .rept 32
 .if v == 2
 .quad handle_nmi
 .elseif v == 18
 .quad restore
 .else
 .quad table_unused
 .endif
 .set v, v + 1
 .endr
 .if . - table != 32 * 8
 .error "table has the wrong size"
 .endif
 .purgem get_stack_end
 .text
 .org 0x40, 0xcc
 .irp r, REGS
 thunk r\\r
 .endr
 .weak table_unused, hook
hook: ret
`,
  },
];
