/** Snippets that are compared with GNU as byte for byte: each is one or a few statements, in a section of its own. */
export const SNIPPETS: readonly string[] = `
# numbers: decimal, hexadecimal, octal, binary, character constants
movq $13, %rax
movq $0x13, %rax
movq $013, %rax
movq $0b1101, %rax
movb $'a', %al
movb $'a, %al
mov $10, %eax
pushq 11*8(%rsp)
pushq 5*8(%rsp)
pushq $10
movl $100, 24(%rsp)
movl $-100, -24(%rsp)
addq $(11*8), %rsp
addq $6*8, %rsp
subq $(10 + 2 * 3), %rsp
andl $~7, %eax
movl $(1<<9)|(1<<1), %eax
testq $(1<<9), 8(%rsp)
testl $1<<9, 16(%rsp)
orl $!0, %eax
movl $(7 > 3), %eax
movl $5 & 3 ^ 1, %eax
movl $100 / 7 % 5, %eax
.quad 10
.quad 0x10, 010, 10
.long 1, -1, 0xffffffff
.short -2, 65535
.byte 1, -1, 255, 'z', '\\n'
.byte 10, 0x10
.octa 0x00112233445566778899aabbccddeeff
.ascii "a\\n\\t\\\\\\"\\101\\x41"
.asciz "abc", "d"
.string "x" "y"
.fill 3, 2, 0x1234
.fill 5
.fill 2, 8, 0x1122334455667788
.zero 7
.skip 5, 0xcc
.space 3
# immediates of MOV
mov $0xd, %rax
mov $13, %r15
movq $0x7fffffff, %rax
movq $0x80000000, %rax
mov $0x80000000, %rax
mov $0xffffffff, %rax
movq $-1, %rax
movq $-0x80000000, %rbx
mov $-0x80000001, %rbx
movq $0xffffffff80000000, %rcx
movabs $0x1122334455667788, %rdx
movabsq $1, %rdx
movabs $-1, %r9
mov $0xffffffff81000000, %rdi
mov $0x1234567890, %rsi
mov $0xffffffff, %eax
mov $-1, %ax
mov $0x80, %bl
movb $-128, %ah
movb $255, %r9b
movw $0x8000, (%rax)
movl $-1, (%rax)
movq $-1, (%rax)
movb $1, 1(%rax)
movabs 0x1122334455667788, %rax
movabs %al, 0x1122334455667788
movabsq 0x100, %rax
movabsl %eax, 0x1234
mov 0x1122334455667788, %rax
# immediates of ALU instructions: imm8 and imm32 edges
add $127, %rax
add $128, %rax
add $-128, %rax
add $-129, %rax
addl $127, %ebx
addl $128, %ebx
addl $0xffffffff, %ebx
addl $0xffffff80, %ebx
addl $0xffffff7f, %ebx
addw $0xffff, %cx
addw $128, %cx
addb $128, %cl
addb $1, %al
add $1, %ax
add $0x1234, %ax
add $0x12345678, %eax
add $0x12345678, %rax
cmp $1, %al
cmpb $-1, (%rdi)
cmp $1, -8(%rsp)
cmp $0x1000, -8(%rsp)
add $0xffffffff, (%rax)
addl $0xffffffff, (%rax)
cmpl $0, 4(%rax)
cmpq $0, (%rsp)
cmpw $0x10, 8(%rsp)
sub $-128, %rsp
sub $128, %rsp
xor $0xff, %eax
and $0xf0, %al
andq $-4096, %rsp
andq $0xfffffffffffff000, %rsp
and $0x7fffffff, %r8
or $1, %r8b
sbb $0, %rdx
adc $0, %rdx
test $1, %al
test $1, %eax
test $3, %rax
testb $3, 17*8(%rsp)
testb $3, %ch
testl $0x80000000, %eax
testl $-1, (%rbx)
test $3, %r11w
imul $3, %rax
imul $3, %rax, %rbx
imul $300, %eax, %ebx
imul $-128, (%rax), %rcx
imulq $1000, %r10
imul %rax, %rbx
imul (%rax), %rbx
imul %rcx
imulq (%rcx)
mul %rcx
mulb (%rcx)
div %rcx
divl 8(%rcx)
idivq (%rax)
neg %rax
notl (%rax)
incl (%rax)
inc %rax
decq -8(%rbp)
dec %r8d
push $1
push $127
push $128
push $-128
push $-129
pushq $0x7fffffff
pushq $-0x80000000
pushw $1
pushw $0x1234
push $0xffffffffffffffff
pushq $-1
push %rax
push %r15
pushq (%rax)
push 8(%rsp)
pushw %ax
pop %rbx
popq 8(%rsp)
popq %r12
popw %cx
pushq %fs
push %gs
pop %fs
popq %gs
# displacements and addressing forms
mov (%rax), %rbx
mov 0(%rax), %rbx
mov 127(%rax), %rbx
mov 128(%rax), %rbx
mov -128(%rax), %rbx
mov -129(%rax), %rbx
mov (%rbp), %rax
mov (%r13), %rax
mov (%rsp), %rax
mov (%r12), %rax
mov 8(%r12), %rax
mov 8(%r13), %rax
mov 0x7fffffff(%rdi), %eax
mov -0x80000000(%rdi), %eax
mov (%rax,%rbx), %rcx
mov (%rax,%rbx,1), %rcx
mov (%rax,%rbx,2), %rcx
mov 8(%rax,%rbx,4), %rcx
mov 0x100(%rax,%r12,8), %rcx
mov (%rbp,%rax), %rcx
mov (%r13,%r13,8), %r13
mov (%rsp,%rax,2), %rcx
mov (,%rax,8), %rcx
mov (,%rax), %rcx
mov (,%rax,1), %rcx
mov 0x1234(,%rbp,8), %rcx
mov -8(%rbp,%rbp), %rcx
leaq 0x100140, %rdx
leaq 0x100140(%rip), %rdx
lea 6*8(%rsp), %rdx
leaq -6*8(%rsp), %rdi
leal (%rax), %ebx
leaw 2(%rax), %bx
mov 8(%rip), %rax
movl $5, 8(%rip)
movb $5, 0x100(%rip)
mov 0x1234, %rax
mov %rax, 0x1234
mov 0x1234, %ebx
movl $7, 0x1234
mov 0xffffffffff600000, %rax
movq %rsp, %gs:0x14
mov %gs:0x14, %rax
mov %gs:0x14, %al
mov %rax, %gs:0x28
movq %gs:(%rax), %rbx
movq %gs:8(,%rax,8), %rbx
movl %fs:0, %eax
movq $0, %gs:0x10
incl %gs:0x20
pushq %gs:0x30
addq %gs:0x30(%rip), %rsp
mov %ds:(%rax), %rbx
mov %ss:(%rbp), %rbx
mov %ss:(%rax), %rbx
mov %ds:(%rbp), %rbx
mov %es:(%rdi), %al
mov %cs:(%rax), %eax
mov (%eax), %ebx
mov 8(%esp), %rbx
mov (%r8d,%r9d,4), %eax
mov 0x10(,%ecx,4), %eax
lea (%ebx), %eax
# registers
mov %rax, %rbx
mov %eax, %r8d
mov %r8w, %ax
mov %ah, %bl
mov %al, %sil
mov %spl, %dl
mov %ch, (%rax)
mov %r15b, (%r15)
movb %al, 1(%rsp)
movl %eax, -4(%rbp)
movq %r10, (%rsp)
xchg %rax, %rbx
xchg %rbx, %rax
xchg %eax, %eax
xchg %ax, %cx
xchg %al, %bl
xchg %rcx, %rdx
xchg %rax, %rax
xchgq %r8, %r8
xchg %rax, (%rbx)
xchg (%rbx), %rax
xchgb %al, (%rsp)
xchgq %r12, 8(%rsp)
test %rax, %rbx
test %al, %bl
test %rax, (%rbx)
test (%rbx), %rax
testq %rdi, %rdi
cmp %rax, %rbx
cmp %rax, (%rbx)
cmp (%rbx), %rax
cmpq 8(%rsp), %rdx
xor %eax, %eax
xorl %r15d, %r15d
sub %rsp, %rax
adc %rax, %rbx
sbb %eax, %eax
or (%rax), %bl
and %bl, (%rax)
# extension
movzbl %al, %eax
movzbl (%rax), %ecx
movzbq %al, %rax
movzb %al, %eax
movzb (%rax), %eax
movzwl %ax, %eax
movzwq (%rax), %rbx
movzx %al, %eax
movzx %ax, %rax
movzx %bl, %cx
movzx (%rax), %ecx
movsx %al, %eax
movsx %ax, %rax
movsbl %ah, %ecx
movsbw (%rax), %cx
movsbq %r9b, %r10
movswl %ax, %ecx
movswq (%rax), %rcx
movslq %eax, %rax
movslq (%rax), %rbx
movsxd %eax, %rbx
movslq %ecx, %r9
cbtw
cwtl
cltq
cqto
cltd
cwtd
cdqe
cqo
bswap %eax
bswap %r9
# shifts
shl %rax
shl $1, %rax
shl $4, %rax
shl $63, %r9
shl %cl, %rax
shlq $1, (%rax)
shll $3, 8(%rax)
shrl %cl, (%rax)
sar $31, %eax
sarq %rdx
sal $2, %rax
rol $8, %ax
ror $1, %al
rcl %rax
rcr $2, %ebx
shrb $4, %ah
shld $4, %rax, %rbx
shld %cl, %rax, %rbx
shrd $12, %eax, (%rbx)
shrd %cl, %rcx, (%rbx)
bt $9, %rax
bt $255, %eax
btsl $-1, %ebx
bt $9, 8(%rsp)
btl $9, 8(%rsp)
btq $63, %rax
bt %rax, %rbx
bt %eax, (%rbx)
bts $0, %eax
btsq $5, (%rax)
btr $1, %ebx
btrl %eax, (%rbx)
btcq $2, %rcx
bsf %rax, %rbx
bsr (%rax), %ebx
popcnt %rax, %rbx
tzcnt %eax, %ebx
lzcnt (%rax), %rbx
# conditions
cmove %rax, %rbx
cmovne (%rax), %rbx
cmovael %eax, %ebx
cmovc %ax, %bx
cmovnzq %r8, %r9
cmovg %rcx, %rdx
sete %al
setne (%rax)
setc %r9b
seta 8(%rsp)
setnz %bh
# strings
movs
stos
movsb
movsq
rep movsb
rep movsq
rep stosq
rep; stosq
rep stosl
rep stosb
repe cmpsb
repne scasb
repnz scasl
lodsb
lodsq
stosw
rep movsw
stosl %eax, %es:(%rdi)
movsb (%rsi), %es:(%rdi)
rep stosb %al, %es:(%rdi)
lodsq %gs:(%rsi)
scasq
cld
std
# locks
lock incl (%rax)
lock; incl (%rax)
lock addq $1, 8(%rax)
lock addw $0x1234, (%rdi)
lock orl $2, (%rbx)
lock btsl $0, (%rax)
lock cmpxchgq %rbx, (%rdi)
lock cmpxchgw %bx, (%rdi)
lock cmpxchg %ebx, (%rdi)
lock xaddq %rax, (%rdi)
lock cmpxchg16b (%rsi)
lock cmpxchg8b (%rsi)
cmpxchg16b %gs:8(%rsi)
xadd %eax, %ebx
cmpxchg %al, %bl
xaddb %al, (%rbx)
# ports
in $0x60, %al
in (%dx), %al
in %dx, %eax
inb $0x71, %al
inw %dx, %ax
out %al, $0x80
out %al, (%dx)
outl %eax, %dx
outb %al, $0xe9
outw %ax, (%dx)
inl (%dx), %eax
insb
outsl
rep insl
# system instructions
iretq
iret
iretl
iretw
lretq
lret
lretl
lret $8
lretq $16
ret
retq
ret $8
retq $0x10
rep ret
repz retq
sysretq
sysretl
sysret
sysexit
sysexitq
sysenter
syscall
swapgs
rdmsr
wrmsr
rdpmc
rdtsc
rdtscp
cpuid
hlt
cli
sti
clc
stc
cmc
lahf
sahf
pushf
pushfq
popf
popfq
pushfw
int3
int $3
int $0x80
int $2
int $255
int1
ud2
ud2a
nop
pause
rep nop
leave
leaveq
enter $16, $0
enter $0x100, $1
mov %cr0, %rax
mov %rax, %cr3
movq %cr3, %rdi
mov %cr4, %r15
mov %r8, %cr8
movq %cr2, %rdi
mov %dr7, %rax
mov %rax, %dr7
movq %dr6, %r9
mov %rax, %db3
mov %ds, %eax
mov %ds, %ax
mov %es, %rax
mov %ss, %edx
movw %gs, %ax
movl %fs, %ecx
mov %cs, %rbx
mov %ds, (%rax)
movw %ds, 8(%rsp)
mov %eax, %ds
mov %ax, %es
mov %rax, %ss
movw %cx, %fs
movl %edx, %gs
movq %rdx, %gs
mov (%rax), %ds
movw 8(%rsp), %es
lgdt (%rax)
lidt 8(%rsp)
sgdt (%rax)
sidt -10(%rbp)
lgdtq (%rdi)
lldt %ax
lldtw (%rax)
lldt (%rax)
ltr %ax
ltr %di
ltrw (%rax)
str %ax
str %eax
str %rax
str (%rax)
sldt %ax
sldt %eax
sldt %rax
sldt (%rax)
sldtw 8(%rsp)
smsw %ax
smsw %rax
smsw (%rax)
lmsw %ax
verw 8(%rsp)
verw %ax
verr %cx
verw 0x100(%rip)
lar %eax, %ebx
lar %ax, %bx
lar (%rax), %ecx
lsl %eax, %ebx
lsl %rax, %rbx
clts
invd
wbinvd
wbnoinvd
invlpg (%rax)
invlpg %gs:8(%rax)
invpcid (%rsp), %rax
invept (%rax), %rbx
invvpid (%rax), %rbx
rdfsbase %rax
rdgsbase %rax
rdgsbase %eax
wrfsbase %rcx
wrgsbase %rax
stac
clac
monitor
mwait
monitorx
mwaitx
clzero
xgetbv
xsetbv
rdpkru
wrpkru
lfence
mfence
sfence
clflush (%rax)
clflushopt (%rax)
clwb (%rax)
prefetcht0 (%rax)
prefetchnta 64(%rax)
prefetchw (%rax)
movnti %rax, (%rbx)
movntiq %r8, (%rbx)
rdrand %rax
rdrand %ecx
rdseed %rax
rdpid %rax
xlat
xlatb
fninit
fnclex
fwait
fxsave (%rdi)
fxsaveq (%rdi)
fxsave64 (%rdi)
fxrstor (%rdi)
fxrstor64 (%rdi)
xsave (%rdi)
xsave64 (%rdi)
xsaveopt64 (%rdi)
xsavec64 (%rdi)
xsaves64 (%rdi)
xrstor (%rdi)
xrstor64 8(%rsp)
xrstors64 (%rdi)
ldmxcsr (%rsp)
stmxcsr 4(%rsp)
fldcw (%rsp)
fnstcw (%rsp)
fnstsw %ax
movups %xmm0, (%rax)
movaps (%rsp), %xmm15
movdqu %xmm1, 16(%rsp)
movq %rax, %xmm0
movq %xmm0, %rax
movd %eax, %xmm0
vmcall
vmlaunch
vmresume
vmxoff
vmxon (%rax)
vmclear 8(%rsp)
vmptrld (%rax)
vmptrst (%rax)
vmread %rax, %rbx
vmread %rax, (%rbx)
vmwrite %rax, %rbx
vmwrite (%rax), %rbx
vmmcall
vmrun
vmload
vmsave
stgi
clgi
skinit
invlpga
rsm
encls
getsec
# branches that are not relaxed
call *%rax
callq *%rax
call *8(%rax)
call *(%rax,%rbx,8)
callq *%gs:0x10
call *0x10(%rip)
jmp *%rax
jmpq *%r11
jmp *8(%rsp)
jmp *0x1000(,%rax,8)
jmpq *(%rsp)
notrack jmp *%rax
ljmp *(%rax)
ljmpl *(%rax)
lcall *(%rax)
# CET and NOP forms
endbr64
endbr32
nopw (%rax)
nopl (%rax)
nopl 0(%rax)
nopl 8(%rax)
nopl 0x12345678(%rax)
nopw 0x200(%rax,%rax,1)
nopw %cs:0x200(%rax,%rax,1)
nopl (%rax,%rax,1)
nopl 8(%rax,%rax,1)
nopl 0x1234
nopq (%rax)
nop %eax
nopw %ax
nop %rax
rdsspq %rax
rdsspd %ecx
incsspq %rdx
incsspd %eax
wrssq %rax, (%rbx)
wrssd %eax, 8(%rbx)
wrussq %rax, (%rbx)
setssbsy
clrssbsy (%rax)
rstorssp 8(%rax)
saveprevssp
data16 nop
cs nopw 0x200(%rax,%rax,1)
rex.w lret
rex64 nop
gs nop
fs; nop
# suffixes and upper case
MOVQ %RAX, %RBX
movl	$1,%eax
  add   $1 ,  %rax
addq $ 1 , %rax
mov 8 (%rax), %rbx
mov 8( %rax , %rbx , 2 ), %rcx
mov -8+16(%rax), %rbx
mov (8+8)(%rax), %rbx
mov (8)(%rax), %rbx
mov -(8)(%rax), %rbx
nop; nop; hlt
nop # comment
jmp 1f; 1: nop
1: jmp 1b
1: nop; jne 1b; je 1f; 1:
jmp .
jmp .+2
jne . + 100
call .+5
loop .
loope .+10
loopne .-3
jrcxz .+5
jecxz .+5
1: .skip 200; jmp 1b
jmp 1f; .skip 127; 1:
jmp 1f; .skip 128; 1:
1: .skip 126; jmp 1b
1: .skip 127; jmp 1b
jnz 1f; .skip 127; 1:
jnz 1f; .skip 128; 1:
1: .skip 126; jae 1b
1: .skip 127; jae 1b
lea 1f(%rip), %rax; 1:
movl $(2f-1f), %eax; 1: nop; 2:
1: nop; 2: movl $(2b-1b), %eax
1: nop; 2: add $(2b-1b), %rax
add $(2f-1f), %rax; 1: nop; 2:
1: nop; 2: mov (2b-1b)(%rax), %rax
mov (2f-1f)(%rax), %rax; 1: nop; 2:
1: .quad 1b - ., 1f - ., . - 1b; 1:
.long 1f - 0f; 0: .skip 9; 1:
.align 8; nop; .align 16; nop
nop; .p2align 4; nop
nop; .p2align 4,,15; nop
nop; .p2align 4,,7; nop
nop; .p2align 5, 0xcc; nop
nop; .balign 64, 0x90; nop
nop; .p2align 3, 0; nop
nop; .org 0x20; nop
nop; .org 0x20, 0xf4; nop
.skip -(((2f-1f) - (3f-2f)) > 0) * ((2f-1f) - (3f-2f)), 0x90; 1: .skip 9; 2: .skip 3; 3:
1: nop; 2: .skip (2b-1b)*4, 0xcc
.if 1 < 2; nop; .else; hlt; .endif
`
  .split('\n')
  .map((line) => line.replace(/^#.*/, '').trim())
  .filter((line) => line !== '');
