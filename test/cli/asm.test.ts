import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Assembler } from '../../src/assembler/index.js';
import { assembled } from '../../src/cli/asm.js';
import { listing } from '../../src/cli/asm_listing.js';
import { Disassembler } from '../../src/cpu/disassembler.js';
import { elfObject } from '../../src/elf/writer.js';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'entrace-cli-asm-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

const assembler = await Assembler.create();
const disassembler = await Disassembler.create();
const list = (text: string): string => listing(assembler.assembleText(text, 'x.S'), disassembler);

/** Runs the command in the temporary directory. */
function entrace(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, 'asm', ...args], { cwd: directory });
}

function file(name: string, text: string): string {
  writeFileSync(join(directory, name), text);
  return name;
}

const SAMPLE = `	.macro	PUSH_TWO a, b
	pushq	\\a
	pushq	\\b
	.endm
	.macro	ENTER
	PUSH_TWO %rdi, %rsi
	.endm
LIMIT = 0x1000
	.globl	start
	.type	start, @function
start:	ENTER
	testq	$0x200, state(%rip)
	jz	1f
	movq	$0x12345678, %gs:0x80(%rax)
	lock
	incl	(%rax)
	call	do_nmi
1:	jmp	start
	.p2align 4
	.weak	out
out:	movabsq	$0xb0d1000000000001, %rax
	lkgs	%ax
	leaq	start(%rip), %rdx
	ret
table:	.quad	start, 5
	.byte	1, 2, 3
	.data
state:	.quad	0x1122334455667788
	.long	state - .
	.asciz	"twelve chars"
	.skip	100
	.fill	40, 1, 0xcc
	.bss
buffer:	.skip	4096
end:
`;

const EXPECTED = `section .text: 89 bytes, alignment 16, code
start:  (global, function)
   0: 57                       pushq   %rdi                              x.S:2 from :6 from :11
   1: 56                       pushq   %rsi                              x.S:3 from :6 from :11
   2: 48 f7 05 00 00 00 00 00  testq   $0x200, (%rip)                    x.S:12
   a: 02 00 00                 5: R_X86_64_PC32 .data-8 <state>
   d: 74 14                    je      0x23 <start+0x23>                 x.S:13
   f: 65 48 c7 80 80 00 00 00  movq    $0x12345678, %gs:0x80(%rax)       x.S:14
  17: 78 56 34 12
  1b: f0 ff 00                 lock incl (%rax)                          x.S:15
  1e: e8 00 00 00 00           callq   0x23                              x.S:17
                               1f: R_X86_64_PLT32 do_nmi-4
  23: eb db                    jmp     0x0 <start>                       x.S:18
  25: 66 66 2e 0f 1f 84 00 00  nopw    %cs:(%rax, %rax)
  2d: 00 00 00

out:  (weak)
  30: 48 b8 01 00 00 00 00 00  movabsq $0xb0d1000000000001, %rax         x.S:21
  38: d1 b0
  3a: f2 0f 00 f0              .byte 0xf2, 0x0f, 0x00, 0xf0  # lkgs %ax  x.S:22
  3e: 48 8d 15 00 00 00 00     leaq    (%rip), %rdx                      x.S:23
                               41: R_X86_64_PC32 start-4
  45: c3                       retq                                      x.S:24

table:
  46: 00 00 00 00 00 00 00 00  .quad   0x0                               x.S:25
                               46: R_X86_64_64 start
  4e: 05 00 00 00 00 00 00 00  .quad   0x5
  56: 01 02 03                 .byte   0x01, 0x02, 0x03

section .data: 165 bytes, alignment 1, data, writable
state:
   0: 88 77 66 55 44 33 22 11  .quad   0x1122334455667788
   8: f8 ff ff ff 74 77 65 6c  .quad   0x6c657774fffffff8
  10: 76 65 20 63 68 61 72 73  .ascii  "ve chars"
  18: 00 ...                   .skip   101
  7d: cc ...                   .skip   40, 0xcc

section .bss: 4,096 bytes, alignment 1, data, writable
buffer:
   0:                          .skip   4096

end:

absolute symbols
  LIMIT = 0x1000  x.S:8

undefined symbols
  do_nmi  x.S:17
`;

test('a listing: offsets, bytes, instructions, source lines; labels; fields of relocations; data', () => {
  assert.equal(list(SAMPLE), EXPECTED);
});

test('every line of the listings of asm/ ends before column 100, and each instruction has its source line', () => {
  for (const name of ['linux_nmi.S', 'linux_nmi_rfc.S', 'linux_nmi_plain.S', 'platforms/linux.S']) {
    const module = assembler.assemble(join(ASM_DIRECTORY, name), { includePaths: [ASM_DIRECTORY] });
    const lines = listing({ ...module, name }, disassembler)
      .replaceAll(`${ASM_DIRECTORY}/`, 'asm/')
      .split('\n');
    for (const line of lines) assert.ok(line.length <= 100 || /<\w{20,}>/.test(line), `${name}: ${line}`);
    const rows = module.sections.reduce((sum, section) => sum + section.lines.length, 0);
    assert.equal(lines.filter((line) => /^ +[\da-f]+: .* \S+\.S:\d+$/.test(line)).length, rows, name);
  }
});

test('fields: offset, relocation, and the label that the section symbol plus the number stands for', () => {
  const text = list('\tjmp\text+3\n\tmovl\t%gs:b, %eax\n\t.data\n\t.quad 0\nb:\t.long 1\n\t.long ext - .\n');
  assert.match(text, /^ {31}1: R_X86_64_PC32 ext-1$/m);
  assert.match(text, /^ {31}9: R_X86_64_32S \.data\+8 <b>$/m);
  assert.match(text, /^ {3}c: 00 00 00 00 {14}\.long {3}0x0 +x\.S:6\n {31}c: R_X86_64_PC32 ext$/m);
});

test('labels inside an instruction and outside of the section, and offsets above 0xfff', () => {
  const text = list('\tnop\na:\tcall\tb\ninner = a + 2\nb:\tret\n\t.skip 4096\nc:\tnop\nfar = c + 16\n');
  assert.match(text, /^a:$\n +1: e8 00 00 00 00 +callq {3}0x6 <b>/m);
  assert.match(text, /^inner = \.text\+3$/m);
  assert.match(text, /^ {4}7: 00 \.\.\. +\.skip {3}4096$\n\nc:$\n 1007: 90 +nop +x\.S:6$/m);
  assert.match(text, /^far = \.text\+0x1017$/m);
});

test('the summary is one line', () => {
  assert.equal(
    assembled(assembler.assembleText(SAMPLE, 'x.S')),
    'x.S: .text 89 bytes, .data 165 bytes, .bss 4,096 bytes; 8 symbols, 1 undefined',
  );
  assert.equal(assembled(assembler.assembleText('', 'x.S')), 'x.S: no bytes; 0 symbols');
});

test('entrace asm: the summary; with --list the listing', () => {
  file('x.S', SAMPLE);
  const summary = entrace('x.S');
  assert.equal(summary.stdout.toString(), `${assembled(assembler.assembleText(SAMPLE, 'x.S'))}\n`);
  assert.equal(summary.stderr.toString(), '');
  assert.equal(summary.status, 0);
  assert.equal(entrace('x.S', '--list').stdout.toString(), EXPECTED);
});

test('entrace asm -o: the object in a file, without a word; - is standard output', () => {
  file('x.S', SAMPLE);
  const object = Buffer.from(elfObject(assembler.assembleText(SAMPLE, 'x.S')));
  const quiet = entrace('x.S', '-o', 'x.o');
  assert.equal(`${quiet.stdout}${quiet.stderr}`, '');
  assert.equal(quiet.status, 0);
  assert.deepEqual(readFileSync(join(directory, 'x.o')), object);
  const both = entrace('x.S', '-o', '-', '--list');
  assert.deepEqual(both.stdout, object);
  assert.equal(both.stderr.toString(), EXPECTED);
});

test('entrace asm: -D, -I, and the directories that explore searches', () => {
  mkdirSync(join(directory, 'own'), { recursive: true });
  file('own/own.h', '#define OWN 1\n');
  file('d.S', '#include "own.h"\n#include "linux.h"\n#include "include/linux.h"\n\t.byte OWN, GIVEN, FLAG\n');
  const result = entrace('d.S', '-I', 'own', '-D', 'GIVEN=2', '-DFLAG', '--list');
  assert.equal(result.stderr.toString(), '');
  assert.match(result.stdout.toString(), /0: 01 02 01/);
});

test('entrace asm: what cannot be done is said in one line, status 2', () => {
  file('x.S', SAMPLE);
  mkdirSync(join(directory, 'folder'), { recursive: true });
  const refused = (args: string[], message: string): void => {
    const result = entrace(...args);
    assert.equal(result.stderr.toString(), `entrace: ${message}\n`);
    assert.equal(result.stdout.toString(), '');
    assert.equal(result.status, 2);
  };
  refused(['none.S'], 'none.S: no such file');
  refused(['x.S', '-o', 'none/x.o'], 'none/x.o: cannot be written (ENOENT); name another file with -o');
  refused(['x.S', '-o', 'folder'], 'folder: cannot be written (EISDIR); name another file with -o');
  refused(['x.S', '-o', './x.S'], './x.S: is one of the source files; name another file with -o');
  assert.equal(readFileSync(join(directory, 'x.S'), 'utf8'), SAMPLE);
  file('bad.S', '\tnop\n\tmovq\t%rax, %rfoo\n');
  const bad = entrace('bad.S', '-o', 'bad.o');
  assert.match(bad.stderr.toString(), /^entrace: bad\.S:2:\d+: /);
  assert.equal(bad.status, 2);
  assert.equal(existsSync(join(directory, 'bad.o')), false);
});

test('entrace asm --list: a reader that stops early is no error', {
  skip: existsSync('/bin/sh') ? false : 'no sh',
}, () => {
  const long = file('long.S', '\tnop\n'.repeat(20_000));
  const script = `"$0" "$1" asm --list ${long} | head -n 1`;
  const result = spawnSync('/bin/sh', ['-c', script, process.execPath, MAIN], { cwd: directory, encoding: 'utf8' });
  assert.equal(result.stderr, '');
  assert.equal(result.stdout, 'section .text: 20,000 bytes, alignment 1, code\n');
});

const PATCHABLE = `	.globl nmi
nmi:
1:	.skip 3, 0x90
2:	swapgs
3:	call	do_nmi
	iretq
	.section .altinstructions, "a"
	.long 1b - ., 4f - .; .word 9 * 32 + 20; .byte 3, 3
	.long 2b - ., 5f - .; .word 0x8000 + 7 * 32 + 11; .byte 3, 0
	.section .altinstr_replacement, "ax"
4:	clac
5:
`;

test('entrace asm --list --features: the code as patched, each change with its feature; objects too', () => {
  file('p.S', PATCHABLE);
  assert.equal(entrace('p.S', '-o', 'p.o').status, 0);
  for (const name of ['p.S', 'p.o']) {
    const smap = entrace(name, '--list', '--features', 'smap,pti').stdout.toString();
    assert.match(smap, /^present: {2}pti, smap\nabsent: {3}none that the code asks for$/m);
    assert.match(smap, /^ +0: 0f 01 ca +clac .*\[smap\]$/m);
    assert.match(smap, /^ +3: 0f 01 f8 +swapgs/m);
    assert.match(smap, /^ +6: [\da-f ]+ +callq +do_nmi\b/m);
    const none = entrace(name, '--list', '--features', 'none').stdout.toString();
    assert.match(none, /^ +0: 0f 1f 00 +nopl .*[^\]]$/m);
    assert.match(none, /^ +3: 0f 1f 00 +nopl .*\[!pti\]$/m);
    const part = entrace(name, '--list', '--features', 'none', '--only', 'nmi+1').stdout.toString();
    assert.match(part, /absent: {3}pti/);
    assert.ok(!part.includes('do_nmi'));
  }
});

test('entrace asm --list --features: what is not for a listing is refused in one line', () => {
  file('p.S', PATCHABLE);
  file('x.S', SAMPLE);
  for (const [args, message] of [
    [['p.S', '--features', 'smap'], /--features: is for a listing; add --list/],
    [['p.S', '--list', '--features', 'smpa'], /there is no feature 'smpa' \(did you mean smap\?\)/],
    [['p.S', '--list', '--features', 'all'], /a listing is for one set of features/],
    [['x.S', '--list', '--features', 'smap'], /nothing in \S*x\.S depends on features/],
    [['p.S', '--list', '--only', 'nim'], /there is no label 'nim'.*nmi/],
  ] as const) {
    const { status, stderr } = entrace(...args);
    assert.equal(status, 2);
    assert.match(stderr.toString(), message);
    assert.equal(stderr.toString().trim().split('\n').length, 1);
  }
});
