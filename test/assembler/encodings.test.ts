import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { compare } from './compare.js';
import { gnuMissing } from './gnu.js';

/** Instructions that GNU as 2.40 knows and Keystone does not, or encodes otherwise. */
const LISTED = `
endbr64
endbr32
endbr64 %rax
setssbsy
setssbsy %rax
saveprevssp
wbnoinvd
serialize
serialize %rax
xsusldtrk
xresldtrk
monitorx
monitorx %rax, %rcx, %rdx
monitorx %rax, %ecx, %edx
monitorx %eax, %ecx, %edx
monitor
monitor %rax, %rcx, %rdx
monitor %rax, %ecx, %edx
monitor %eax, %ecx, %edx
mwait
mwait %rax, %rcx
mwait %eax, %ecx
mwaitx
mwaitx %rax, %rcx, %rbx
mwaitx %eax, %ecx, %ebx
clzero
clzero %rax
clzero %eax
rdpru
invlpgb
invlpgb %rax, %ecx, %edx
invlpgb %eax, %ecx, %edx
tlbsync
invlpga
invlpga %rax, %ecx
invlpga %eax, %ecx
vmrun
vmrun %rax
vmrun %eax
vmload
vmload %rax
vmsave
vmsave %rax
vmsave %eax
skinit
skinit %eax
skinit %rax
vmgexit
vmmcall
vmgexit %rax
clgi
stgi
pconfig
wrmsrns
wrmsrlist
rdmsrlist
enclv
enclu
encls
tdcall
seamret
seamops
seamcall
clui
stui
testui
uiret
mcommit
psmash
psmash %rax
pvalidate
pvalidate %rax, %ecx, %edx
rmpupdate
rmpupdate %rax, %rcx
rmpadjust
rmpadjust %rax, %rcx, %rdx
rmpquery
getsec
vmcall
vmlaunch
vmresume
vmxoff
vmfunc
rsm
ud2
ud0 %eax, %ebx
ud1 %eax, %ebx
ud1 (%rax), %rbx
ud1l (%rax), %ebx
ud2a
ud2b %eax, %ebx
ud1 %ax, %bx
hreset $0
hreset $5
hreset $5, %eax
hreset
rdsspd %eax
rdsspd %r9d
rdsspq %rax
rdsspq %r15
rdsspq %eax
rdsspd %rax
incsspd %eax
incsspq %rax
incsspq %r12
incsspd %r12d
incsspd %rax
wrssd %eax, (%rbx)
wrssd %eax, (%r9)
wrssd %r9d, (%r9,%r12,4)
wrssq %rax, (%rbx)
wrssq %r10, 8(%rsp)
wrssd %rax, (%rbx)
wrssq %eax, (%rbx)
wrssq %rax, %rbx
wrssq (%rax), %rbx
wrssq %rax, %gs:foo(%rip)
wrussd %eax, (%rbx)
wrussq %r9, (%rbx)
wrussq %rax, foo
wrussq %rax, %fs:0x10
rstorssp (%rax)
rstorssp 8(%r12)
rstorssp foo(%rip)
rstorssp %rax
clrssbsy (%rax)
clrssbsy 4(%r13,%rax,8)
clrssbsy %rax
cldemote (%rax)
cldemote 64(%r10)
cldemote %rax
umonitor %rax
umonitor %eax
umonitor %r10
umonitor %ax
umwait %eax
umwait %r9d
umwait %eax, %edx, %eax
umwait %ecx, %edx, %eax
tpause %eax
tpause %r10d
tpause %rax
tpause %ecx, %edx, %eax
rdpid %rax
rdpid %r9
rdpid %eax
senduipi %rax
senduipi %r9
senduipi %eax
ptwrite %eax
ptwrite %rax
ptwritel %eax
ptwriteq %rax
ptwritel (%rax)
ptwriteq (%rax)
ptwrite (%rax)
movdiri %eax, (%rbx)
movdiri %rax, (%rbx)
movdiri %r9, 8(%r10)
movdiri %r9d, foo(%rip)
movdiril %eax, (%rbx)
movdir64b (%rax), %rbx
movdir64b (%eax), %ebx
movdir64b 8(%r9,%r10,2), %r12
movdir64b foo(%rip), %rdx
movdir64b (%rax), %ebx
enqcmd (%rax), %rbx
enqcmds (%rax), %rbx
enqcmd (%eax), %ebx
enqcmds 64(%r9), %r12
clwb (%rax)
clwb 8(%r9)
clflushopt (%rax)
clflush (%rax)
prefetchw (%rax)
prefetchwt1 (%rax)
prefetcht0 (%rax)
prefetchnta (%rax)
xsaves (%rax)
xsaves64 (%rax)
xrstors (%rax)
xrstors64 (%rax)
xsavec (%rax)
xsavec64 (%rax)
xsaveopt (%rax)
xsaveopt64 (%rax)
xsave (%rax)
xsave64 (%rax)
xrstor (%rax)
xrstor64 (%rax)
fxsave (%rax)
fxsave64 (%rax)
fxrstor (%rax)
fxrstor64 (%rax)
invpcid (%rax), %rbx
invept (%rax), %rbx
invvpid (%rax), %rbx
invlpg (%rax)
rdfsbase %rax
rdfsbase %eax
wrgsbase %r9
wrgsbase %r9d
rdrand %rax
rdseed %eax
rdtscp
rdtsc
rdpmc
xgetbv
xsetbv
rdpkru
wrpkru
swapgs
stac
clac
xabort $3
xend
xtest
xbegin foo
vmptrld (%rax)
vmptrst (%rax)
vmclear (%rax)
vmxon (%rax)
vmread %rax, %rbx
vmread %rax, (%rbx)
vmwrite %rax, %rbx
vmwrite (%rax), %rbx
lock addl $1, (%rax)
xacquire lock addl $1, (%rax)
xrelease movl %eax, (%rbx)
ds call *%rax
cs call *%rax
cs jmp foo
cs jmp *%r11
ds jne foo
notrack jmp *%rax
notrack call *(%rax)
notrack call foo
bnd call foo
bnd jmp foo
bnd ret
bnd jne foo
bnd jmp *%rax
rep ret
repz ret
repz retq
ds nop
cs nopw 0(%rax)
data16 nop
data16 cs nopw 0x0(%rax,%rax,1)
nopw %cs:0x0(%rax,%rax,1)
data16 lea foo(%rip), %rdi
data16 data16 rex.w call foo
rex64 fxsave (%rax)
rex.w fxsave (%rax)
addr32 mov (%rax), %rbx
lock cmpxchg16b (%rsi)
lock cmpxchg8b (%rsi)
cmpxchg16b %gs:(%rsi)
sysretq
sysretl
sysret
sysexit
sysexitq
sysexitl
iretq
iretl
iret
iretw
lretq
lret
lretq $8
syscall
sysenter
int $0x80
int3
int $3
int1
into
hlt
lmsw %ax
smsw %ax
smsw %rax
smsw (%rax)
lgdt (%rax)
lidt (%rax)
sgdt (%rax)
sidt (%rax)
lgdtq (%rax)
lidtq (%rax)
str %ax
str %rax
ltr %ax
ltr %eax
lldt %ax
lldt (%rax)
verw (%rax)
verw foo(%rip)
verr %ax
lar %ax, %eax
lsl %ax, %eax
lsl %eax, %eax
lsl %rax, %rax
mov %cr3, %rax
mov %rax, %cr8
mov %dr7, %rax
mov %rax, %db7
mov %rax, %cr15
movq %cr4, %rbx
mov %ds, %eax
mov %eax, %ss
movl %eax, %ds
movw %ax, %es
mov (%rax), %ds
pushfq
popfq
pushf
popf
pushw $1
pushq $foo
push $foo
push $1
push foo(%rip)
pushq %fs
popq %gs
push %fs
in $0x71, %al
in %dx, %eax
out %al, $0x70
outb %al, %dx
insb
outsl
lfence
mfence
sfence
pause
cpuid
wbinvd
invd
wrmsr
rdmsr
rdmsrl
cwtl
cltq
cqto
xlat
ljmp *(%rax)
ljmpl *foo
lcall *(%rax)
jmp *foo(%rip)
jmp *foo
call *foo(,%rax,8)
movabs $foo, %rax
movabs foo, %rax
movabsq $1, %rbx
mov $foo, %rax
mov $foo, %eax
movq $foo, %rax
leaq foo(%rip), %rax
lea foo, %rax
add $foo, %rax
cmpb $0, foo(%rip)
cmpq $foo, %rax
cmpl $foo, 8(%rsp)
test $3, %al
testb $3, foo+4(%rip)
movb $1, %gs:foo(%rip)
movq %gs:foo, %rax
mov %gs:foo, %rax
movl %gs:0x28, %eax
popcnt %rax, %rbx
crc32b %al, %ebx
crc32q %rax, %rbx
crc32l (%rax), %ebx
adcx %rax, %rbx
adox %eax, %ebx
mulx %rax, %rbx, %rcx
rorx $3, %rax, %rbx
sarx %rax, %rbx, %rcx
pdep %rax, %rbx, %rcx
pext %eax, %ebx, %ecx
andn %rax, %rbx, %rcx
bzhi %rax, %rbx, %rcx
bextr %rax, %rbx, %rcx
blsr %rax, %rbx
movbe (%rax), %ebx
movbe %rax, (%rbx)
movnti %rax, (%rbx)
movnti %eax, (%rbx)
movntdqa (%rax), %xmm1
movdqu (%rax), %xmm1
movaps %xmm0, (%rax)
vmovdqu (%rax), %ymm1
vzeroupper
emms
fninit
fnstsw %ax
fwait
ldmxcsr (%rax)
stmxcsr (%rax)
wrmsrns %rax
test %eax, (%rax)
xchg %ax, %ax
xchg %rax, %rax
xchg %eax, %eax
xadd %eax, (%rax)
bswap %eax
bswap %rax
shl %rax
shl $1, %rax
shl %cl, %rax
shrd $3, %rax, %rbx
imul $3, %rax
imul $3, %rax, %rbx
imul %rax
enter $8, $0
leave
leaveq
ret $8
retq
ret
jrcxz foo
loop foo
jecxz foo
call foo
call foo+4
call foo@PLT
jmp foo@PLT
jne foo
jmp .+2
jmp . + 5
jmp 1f; 1:
wrssq %r9, foo(%rip)
wrssd %ebx, %gs:8(%rax,%rbx,8)
wrussd %r15d, (%eax)
movdir64b (%r8d), %r9d
enqcmd foo, %rax
enqcmds %fs:(%rax), %rcx
rstorssp %gs:(%r9,%r10)
tpause %esi
umonitor %r9d
ud1 foo(%rip), %eax
ud1 (%rax), %ax
ud0 (%rax), %ax
ud2b (%rax), %ecx
nopl foo(%rip)
nopw %ax
nopl %r9d
nopq %r10
nop %eax
nop (%rax)
nopw (%r12)
nopw %cs:(%rax)
nopl (,%rax,4)
ptwriteq foo(%rip)
lar %ax, %rax
lar %r9w, %r10
lsl %r9w, %r10d
lsl (%rax), %eax
lsl (%rax), %rax
lar %ax, %ax
rdsspq %rsp
incsspd %ebp
wrssd foo, %eax
invlpga %rax, %rcx
pvalidate %eax, %ecx, %edx
rmpadjust %eax, %rcx, %rdx
rmpupdate %eax, %rcx
psmash %eax
mwait %rax, %rcx, %rdx
monitor %rax, %rcx
monitor %rbx, %rcx, %rdx
umonitor (%rax)
cldemote %cs:(%rax)
cldemote foo(,%rbx,2)
movdiri %ax, (%rax)
movdiri $1, (%rax)
movdiriq %rax, (%rbx)
rdpid %r15
rdpid %r15d
testui %rax
rep vmrun
lock wrssq %rax, (%rbx)
hreset $256
hreset $-1
notrack jmp *foo(%rip)
notrack ret
prefetchwt1 8(%r9)
senduipi %rsp
`
  .trim()
  .split('\n');

test('instructions of the table are byte for byte what GNU as makes of them', {
  skip: gnuMissing ?? false,
}, async (t) => {
  const { differences, compared } = compare(await Assembler.create(), LISTED);
  assert.deepEqual(differences, []);
  assert.ok(compared > 150, `${compared}`);
  t.diagnostic(
    `${compared} compared; GNU as refuses the other ${LISTED.length - compared}, and so does this assembler`,
  );
});

/** What GNU as 2.40 does not know: bytes from the manual. */
const NEWER: readonly (readonly [text: string, bytes: string])[] = [
  // FRED specification, ERETS: F2 0F 01 CA; ERETU: F3 0F 01 CA; LKGS r/m16: F2 0F 00 /6.
  ['erets', 'f20f01ca'],
  ['eretu', 'f30f01ca'],
  ['lkgs %ax', 'f20f00f0'],
  ['lkgs %r12d', 'f2410f00f4'],
  ['lkgs %rdi', 'f20f00f7'],
  ['lkgs 8(%r9,%rbx,2)', 'f2410f00745908'],
  ['lkgs %gs:(%rax)', '65f20f0030'],
];

for (const [text, bytes] of NEWER) {
  test(`encoding: ${text}`, async () => {
    const module = (await Assembler.create()).assembleText(text, 's.S');
    assert.equal(Buffer.from(module.sections[0]!.data).toString('hex'), bytes);
  });
}

const REFUSED: readonly (readonly [text: string, message: string])[] = [
  ['endbr64 %rax', 's.S:1:1: operands do not fit "endbr64"; expected no operands'],
  ['rdsspq %eax', 's.S:1:1: operands do not fit "rdsspq"; expected rm64'],
  ['wrssq (%rax), %rbx', 's.S:1:1: operands do not fit "wrssq"; expected r64, mem'],
  ['movdir64b (%rax), %ebx', 's.S:1:1: operands do not fit "movdir64b"; expected mem, [r]'],
  ['lock wrssq %rax, (%rbx)', 's.S:1:1: "wrssq" takes no lock or rep; expected the instruction without it'],
  ['notrack call foo', 's.S:1:1: notrack before "call"; expected an indirect call or jump'],
  ['hreset $256', 's.S:1:8: the immediate is no number of 8 bits; expected 0 to 0xff'],
];

for (const [text, message] of REFUSED) {
  test(`refused: ${text}`, async () => {
    const assembler = await Assembler.create();
    assert.throws(() => assembler.assembleText(text, 's.S'), { message });
  });
}
