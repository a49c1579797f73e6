/** The object writer against GNU as and binutils. Every check is also given an object that it must reject. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { elfObject } from '../../src/elf/writer.js';
import type { Module, ModuleSection } from '../../src/image/module.js';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';
import { type GnuObject, gnuMissing, readObject } from '../assembler/gnu.js';

const INCLUDES = [ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
const directory = mkdtempSync(join(tmpdir(), 'entrace-elf-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

const missing =
  gnuMissing ??
  (['objdump', 'readelf', 'ld'].some((tool) => spawnSync(tool, ['--version']).status !== 0)
    ? 'GNU binutils (objdump, readelf, ld) are not installed: nothing to compare with'
    : undefined);
const gdbMissing =
  spawnSync('gdb', ['--version']).status === 0
    ? undefined
    : 'gdb is not installed: nothing reads the object as it does';

const assembler = await Assembler.create();
let files = 0;

function written(bytes: Uint8Array): string {
  const path = join(directory, `${files++}.o`);
  writeFileSync(path, bytes);
  return path;
}

function run(command: string, ...args: string[]) {
  return spawnSync(command, args, { encoding: 'utf8', cwd: directory, maxBuffer: 1 << 26 });
}

/** What GNU as knows from 2.41 on. */
const ERET = join(directory, 'eret.h');
writeFileSync(
  ERET,
  '\t.macro eretu\n\t.byte 0xf3, 0x0f, 0x01, 0xca\n\t.endm\n\t.macro erets\n\t.byte 0xf2, 0x0f, 0x01, 0xca\n\t.endm\n',
);

function gnuObject(source: string): string {
  const path = join(directory, `${files++}.o`);
  const include = INCLUDES.map((directory) => `-I${directory}`);
  const result = run('gcc', '-c', ...include, '-include', ERET, '-o', path, source);
  assert.equal(result.status, 0, result.stderr);
  return path;
}

/** All code as objdump shows it, without the line that names the file. */
function disassembly(path: string): string[] {
  const result = run('objdump', '-d', path);
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.split('\n').filter((line) => !line.startsWith(path));
}

/** Relocations by section; a local symbol counts as a place in its section, however it is called. */
function relocations(path: string): string[] {
  const object: GnuObject = readObject(readFileSync(path));
  const local = new Map(object.symbols.filter((s) => s.binding === 'local').map((s) => [s.name, s]));
  const rows = [...object.sections.values()].flatMap((section) =>
    section.relocations.map((r) => {
      const symbol = local.get(r.symbol);
      const target = symbol ? `${symbol.section}+${symbol.value + r.addend}` : `${r.symbol}+${r.addend}`;
      return `${section.name}+${r.offset}: ${r.type} ${target}`;
    }),
  );
  return rows.sort();
}

/** Name, type, size, flags and alignment of each section with contents, as readelf shows them. */
function sections(path: string): string[] {
  const rows = run('readelf', '-S', '-W', path).stdout.matchAll(
    /^ +\[ *\d+\] (\S+) +(\S+) +[\da-f]{16} [\da-f]+ ([\da-f]+) ([\da-f]+) +([A-Z]*) +\d+ +\d+ +(\d+)$/gm,
  );
  const own = /^\.(symtab|strtab|shstrtab|note\.gnu\.property)$/;
  return [...rows]
    .filter(([, name, , size]) => !own.test(name!) && Number.parseInt(size!, 16) > 0)
    .map(([, name, type, size, entry, flags, align]) => `${name} ${type} ${size} ${entry} ${flags} ${align}`)
    .sort();
}

function symbols(path: string): string[] {
  return readObject(readFileSync(path))
    .symbols.filter((s) => s.type !== 'section')
    .map((s) => `${s.name} ${s.section}+${s.value} ${s.size} ${s.binding} ${s.type}`)
    .sort();
}

/** What readelf says about an object besides its contents. */
function readelfComplaints(path: string): string {
  const result = run('readelf', '-a', '-W', path);
  return `${result.stderr}${result.stdout.match(/^.*<(unknown|corrupt|no-strings|bad).*$/gim)?.join('\n') ?? ''}`;
}

/** What the linker says about an object; its output must be an object as well. */
function linkerComplaints(path: string): string {
  const output = join(directory, `${files++}.o`);
  const result = run('ld', '-r', '--fatal-warnings', '-o', output, path);
  return result.status === 0 ? `${result.stderr}${result.stdout}` : `status ${result.status}: ${result.stderr}`;
}

const CHECKS = { disassembly, relocations, sections, symbols };

function compare(source: string, name: string): void {
  const module = assembler.assemble(source, { includePaths: INCLUDES });
  const ours = written(elfObject(module));
  const theirs = gnuObject(source);
  for (const [what, check] of Object.entries(CHECKS)) assert.deepEqual(check(ours), check(theirs), `${name}: ${what}`);
  assert.equal(readelfComplaints(ours), '');
  assert.equal(linkerComplaints(ours), '');
}

/** Parts that others include, after what they need. */
const PART = /^include\/|^platforms\/handlers\.S$/;
const sources = readdirSync(ASM_DIRECTORY, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.S') && !PART.test(name))
  .sort();

test('there are files to compare', () => {
  assert.ok(sources.length >= 8, sources.join(' '));
});

for (const name of sources) {
  test(`${name}: the object is that of GNU as`, { skip: missing }, () => {
    const path = join(ASM_DIRECTORY, name);
    compare(path, relative(ASM_DIRECTORY, path));
  });
}

/** Every kind of section, symbol and relocation that a module can hold. */
const EVERYTHING = `
CONST = 0x1234
HIGH = 0xffffffff81000000
	.globl	f, shared
	.weak	maybe, w
	.type	f, @function
	.type	shared, @object
f:	call	ext
	jmp	maybe
	je	ext
	lock; incl %gs:var(%rip)
	leaq	var+4(%rip), %rax
	cmpl	$5, var(%rip)
	movabsq	$ext+8, %rbx
	movq	$var, %rcx
	movl	$ext, %edx
	movl	%eax, %gs:percpu_word
	movb	$ext, %al
	movw	$ext, %ax
	ret
	.size	f, . - f
	.p2align 4
w:	nop
	.quad	f, other, other - . + 8
	.section .text.other, "ax", @progbits
other:	jmp	f
	jmp	w
	int3
	.data
	.balign	32
var:	.long	1, 2
shared:	.quad	var, f - .
	.size	shared, 16
	.long	ext - ., 0
	.value	ext
	.byte	ext
	.word	ext - .
	.byte	ext - .
	.bss
	.balign	64
room:	.skip	4096
	.section .rodata, "a", @progbits
	.asciz	"text"
	.section .data..percpu, "aw", @progbits
percpu_word:
	.quad	0
	.section .discard.notes, "", @progbits
	.long	f - .
	.section .init_array, "aw", @init_array
	.quad	f
	.section .note.GNU-stack, "", @progbits
`;

const everything = join(directory, 'everything.S');
writeFileSync(everything, EVERYTHING);

test('every kind of section, symbol and relocation', { skip: missing }, () => {
  compare(everything, 'everything.S');
  const kinds = new Set(
    assembler.assemble(everything).sections.flatMap((section) => section.relocations.map((r) => r.kind)),
  );
  assert.deepEqual([...kinds].sort(), [
    'abs16',
    'abs32',
    'abs32s',
    'abs64',
    'abs8',
    'pc16',
    'pc32',
    'pc64',
    'pc8',
    'plt32',
  ]);
});

test('a file without anything, and numbers as targets', { skip: missing }, () => {
  const empty = join(directory, 'empty.S');
  writeFileSync(empty, '');
  compare(empty, 'empty.S');
  const number = written(elfObject(assembler.assembleText('\tcall\t0x1000\n', 'number.S')));
  assert.equal(readelfComplaints(number), '');
  assert.equal(linkerComplaints(number), '');
  assert.deepEqual(relocations(number), ['.text+1: pc32 *ABS*+4092']);
});

/** The module with one of its sections changed. */
function changed(module: Module, name: string, change: (section: ModuleSection) => Partial<ModuleSection>): Module {
  return {
    ...module,
    sections: module.sections.map((section) => (section.name === name ? { ...section, ...change(section) } : section)),
  };
}

test('each comparison sees a difference', { skip: missing }, () => {
  const module = assembler.assemble(everything);
  const right = written(elfObject(module));
  const wrong: Record<keyof typeof CHECKS, Module> = {
    disassembly: changed(module, '.text.other', ({ data }) => ({ data: data.with(data.length - 1, 0x90) })),
    relocations: changed(module, '.text', ({ relocations: [first, ...rest] }) => ({
      relocations: [{ ...first!, addend: first!.addend + 1n }, ...rest],
    })),
    sections: changed(module, '.rodata', () => ({ write: true })),
    symbols: { ...module, symbols: module.symbols.map((s) => (s.name === 'w' ? { ...s, binding: 'global' } : s)) },
  };
  for (const [what, other] of Object.entries(wrong)) {
    const path = written(elfObject(other));
    for (const [name, check] of Object.entries(CHECKS)) {
      const same = JSON.stringify(check(path)) === JSON.stringify(check(right));
      assert.equal(same, name !== what, `${what} changed, ${name} ${same ? 'same' : 'different'}`);
    }
  }
});

/** Where the header of a section stands in an object. */
function headerOf(bytes: Uint8Array, name: string): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const index = [...readObject(bytes).sections.keys()].indexOf(name) + 1;
  return Number(view.getBigUint64(40, true)) + index * 64;
}

test('readelf and the linker see a broken object', { skip: missing }, () => {
  const good = elfObject(assembler.assemble(everything));
  const broken = (at: number, value: number): string => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(at, value, true);
    return written(bytes);
  };
  const symtab = headerOf(good, '.symtab');
  // sh_link of the relocations leads to the section itself; sh_size of the symbols is no multiple of an entry.
  assert.notEqual(readelfComplaints(broken(headerOf(good, '.rela.text') + 40, 1)), '');
  assert.notEqual(readelfComplaints(broken(symtab + 32, 77)), '');
  // sh_info of the symbols takes a local symbol for a global one; sh_info of the relocations names no section.
  assert.notEqual(linkerComplaints(broken(symtab + 44, 1)), '');
  assert.notEqual(linkerComplaints(broken(headerOf(good, '.rela.text') + 44, 200)), '');
});

test('gdb knows the functions', { skip: missing ?? gdbMissing }, () => {
  const module = assembler.assemble(join(ASM_DIRECTORY, 'linux_nmi.S'), { includePaths: INCLUDES });
  const path = written(elfObject(module));
  const result = run('gdb', '-nx', '-batch', '-ex', 'x/2i &repeat_nmi', '-ex', 'info symbol end_repeat_nmi', path);
  assert.match(result.stdout, /<repeat_nmi>:\s+movq +\$0x1,0x50\(%rsp\)/);
  assert.match(result.stdout, /end_repeat_nmi in section \.text/);
  assert.doesNotMatch(result.stderr, /warning|error|not in executable format/i);
});

test('a relocation of a symbol that is not there is refused', () => {
  const module = assembler.assembleText('\n\tcall\text\n', 'lost.S');
  assert.throws(() => elfObject({ ...module, symbols: [] }), {
    name: 'InputError',
    message: /^lost\.S:2: the field at \.text\+0x1 refers to ext, which/,
  });
});
