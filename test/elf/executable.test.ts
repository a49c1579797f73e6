/** Executables, and what linkers and compilers of kernels do that others do not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { elfObject } from '../../src/elf/writer.js';
import type { Module } from '../../src/image/module.js';
import { downloaded } from '../support/downloads.js';
import { compiled, run, toolsMissing, written } from './gcc.js';
import { LIBRARY, PROGRAM } from './programs.js';

const read = (path: string): Module => moduleFromElf(readElf(readFileSync(path), path));
const DEFINED = ['--defsym=outside=0xffffffff81234560', '--defsym=absolute_low=0x10'];

/** As Linux lays itself out: per-CPU data at 0, in a segment of its own, loaded behind the other data. */
const LAYOUT = `
PHDRS { text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); percpu PT_LOAD FLAGS(6); }
SECTIONS {
  . = 0xffffffff81000000;
  .text : AT(ADDR(.text) - 0xffffffff80000000) { *(.text*) } :text
  .rodata : AT(ADDR(.rodata) - 0xffffffff80000000) { *(.rodata*) }
  . = 0xffffffff82000000;
  .data : AT(ADDR(.data) - 0xffffffff80000000) { *(.data) } :data
  .bss : AT(ADDR(.bss) - 0xffffffff80000000) { *(.bss) *(COMMON) }
  _end = .;
  .empty : { empty_start = .; }
  .data..percpu 0 : AT(LOADADDR(.data) + 0x10000) { *(.data..percpu) } :percpu
  /DISCARD/ : { *(.eh_frame) *(.note*) *(.comment) }
}
`;

function executable(...flags: string[]): string {
  const output = written('', '.elf');
  const objects = [compiled(PROGRAM), compiled(LIBRARY)];
  run('ld', '-static', '-e', 'program', '-T', written(LAYOUT, '.ld'), ...DEFINED, ...flags, '-o', output, ...objects);
  return output;
}

test('an executable: sections at their addresses, symbols as nm has them', { skip: toolsMissing }, () => {
  const path = executable();
  const module = read(path);
  const addresses = Object.fromEntries(module.sections.map(({ name, address }) => [name, address]));
  assert.equal(addresses['.text'], 0xffffffff81000000n);
  assert.equal(addresses['.data'], 0xffffffff82000000n);
  assert.equal(addresses['.data..percpu'], 0n);
  const percpu = module.sections.find(({ name }) => name === '.data..percpu')!;
  assert.deepEqual([...percpu.data.subarray(0, 8)], [3, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(module.sections.find(({ name }) => name === '.bss')!.data.length, 0);
  const named = new Map<string, bigint[]>();
  for (const { name, section, value } of module.symbols) {
    const plain = name.replace(/^.*#(?=[a-z])|#\d+$/g, '');
    const address = BigInt.asUintN(64, section === 'absolute' ? value : addresses[section]! + value);
    named.set(plain, [...(named.get(plain) ?? []), address].sort());
  }
  const theirs = new Map<string, bigint[]>();
  for (const line of run('nm', path).trim().split('\n')) {
    const [address, , name] = line.split(' ') as [string, string, string];
    theirs.set(name, [...(theirs.get(name) ?? []), BigInt(`0x${address}`)].sort());
  }
  assert.deepEqual(new Map([...named].sort()), new Map([...theirs].sort()));
});

test('static functions of one name in two files are kept apart', { skip: toolsMissing }, () => {
  const names = read(executable())
    .symbols.map(({ name }) => name)
    .filter((name) => name.includes('helper'));
  assert.equal(names.length, 2);
  for (const name of names) assert.match(name, /^\d+\.c#helper$/);
});

test('relocations that a linker has left in an executable are not applied again', { skip: toolsMissing }, () => {
  const [plain, left] = [read(executable()), read(executable('--emit-relocs'))];
  const contents = ({ sections }: Module) =>
    sections.map(({ name, data, relocations }) => ({ name, data: Buffer.from(data).toString('hex'), relocations }));
  assert.deepEqual(contents(left), contents(plain));
});

test('an executable for a loader is refused, one without relocations is not', { skip: toolsMissing }, () => {
  const output = written('', '.elf');
  run(
    'ld',
    '-pie',
    '-e',
    'f',
    '-o',
    output,
    compiled('int x; int *p = &x; int f(void) { return *p; }', ['-O2', '-fpie']),
  );
  assert.throws(() => read(output), /section \.rela\.dyn \(\d+\): has relocations for a dynamic linker/);
  run(
    'ld',
    '-pie',
    '-no-dynamic-linker',
    '-e',
    'f',
    '-Ttext=0xffffffff81000000',
    '-o',
    output,
    compiled('int f(void) { return 5; }', ['-O2', '-fpie']),
  );
  assert.equal(read(output).sections.find(({ name }) => name === '.text')!.address, 0xffffffff81000000n);
});

test('what is only called is told from what is used otherwise', { skip: toolsMissing }, () => {
  const module = read(
    compiled(
      `
	.text
f:	call	called
	jmp	jumped
	jne	jumped
	call	both
	lea	both(%rip), %rax
	mov	$taken, %rdi
	call	beyond+4
	mov	loaded(%rip), %rax
	.section .discard.f, "aw"
	.quad	called, nowhere
	.data
	.byte	0xe8
	.long	table - . - 4
	.weak	perhaps
	.text
	call	perhaps
`,
      [],
      '.S',
    ),
  );
  const uses = module.symbols
    .filter(({ section }) => section === 'undefined')
    .map(({ name, calledOnly, binding }) => `${name} ${calledOnly} ${binding}`);
  assert.deepEqual(uses.sort(), [
    'beyond false global',
    'both false global',
    'called true global',
    'jumped true global',
    'loaded false global',
    'perhaps true weak',
    'table false global',
    'taken false global',
  ]);
});

/** gABI: where the header, a section header or a symbol says that a number is elsewhere, as in objects of more than 65279 sections. */
test('an object whose header and symbols cannot hold its numbers', async () => {
  const assembler = await Assembler.create();
  const plain = elfObject(
    assembler.assembleText('f:\tcall\tg\n\t.data\nv:\t.quad\tf\n\t.section .numbers, ""\n\t.skip\t256\n', 'object.S'),
  );
  const elf = readElf(plain, 'object.o');
  const extended = Buffer.from(plain);
  const at = (name: string): number => elf.sections.findIndex((section) => section.name === name);
  const headers = Number(extended.readBigUInt64LE(40));
  const [symbols, numbers] = [elf.sections[at('.symtab')]!, elf.sections[at('.numbers')]!];
  // e_shnum and e_shstrndx are in section 0; .numbers becomes SHT_SYMTAB_SHNDX.
  extended.writeBigUInt64LE(BigInt(extended.readUInt16LE(60)), headers + 32);
  extended.writeUInt32LE(extended.readUInt16LE(62), headers + 40);
  extended.writeUInt16LE(0, 60);
  extended.writeUInt16LE(0xffff, 62);
  extended.writeUInt32LE(18, headers + 64 * numbers.index + 4);
  extended.writeUInt32LE(symbols.index, headers + 64 * numbers.index + 40);
  for (const { index, section } of elf.symbols) {
    if (typeof section !== 'number') continue;
    extended.writeUInt16LE(0xffff, symbols.offset + 24 * index + 6);
    extended.writeUInt32LE(section, numbers.offset + 4 * index);
  }
  const module = (bytes: Uint8Array) => moduleFromElf(readElf(bytes, 'object.o'));
  assert.ok(elf.symbols.some(({ section }) => typeof section === 'number'));
  assert.deepEqual(module(extended), module(plain));
});

test('sections of one name are told apart, and keep their kind', { skip: toolsMissing }, () => {
  const source = `
	.section .text.x, "ax", @progbits
first:	jmp	second
	.section .text.x, "axG", @progbits, group, comdat
second:	jmp	first
	.section .data..percpu, "aw", @progbits, unique, 1
a:	.quad	1
	.section .data..percpu, "aw", @progbits, unique, 2
b:	.quad	2
`;
  const module = read(compiled(source, [], '.S'));
  const home = new Map(module.symbols.map(({ name, section }) => [name, section]));
  assert.deepEqual(
    ['first', 'second', 'a', 'b'].map((name) => home.get(name)),
    ['.text.x', '.text.x#2', '.data..percpu', '.data..percpu#2'],
  );
  assert.equal(module.sections.find(({ name }) => name === '.text.x#2')!.group, 'group');
});

test("Xen's symbol table: every symbol of nm, each under a name of its own", { skip: toolsMissing }, (t) => {
  const path = downloaded(t, 'xen/xen-syms');
  if (path === undefined) return;
  const start = performance.now();
  const module = read(path);
  t.diagnostic(`${(performance.now() - start).toFixed(0)} ms`);
  const names = module.symbols.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const addresses = new Map(module.sections.map(({ name, address }) => [name, address!]));
  const ours = module.symbols
    .map(({ section, value }) => BigInt.asUintN(64, (addresses.get(section) ?? 0n) + value))
    .sort();
  const theirs = run('nm', path)
    .trim()
    .split('\n')
    .map((line) => BigInt(`0x${line.slice(0, 16)}`))
    .sort();
  assert.deepEqual(ours, theirs);
  for (const name of ['nmi', 'handle_ist_exception', 'machine_check', 'restore_all_guest', 'do_nmi'])
    assert.ok(names.includes(name), name);
});

test("Linux's entry_64.o: what C has to define", { skip: toolsMissing }, (t) => {
  const path = downloaded(t, 'linux/entry_64.o');
  if (path === undefined) return;
  const missing = read(path).symbols.filter(({ section }) => section === 'undefined');
  const calledOnly = (name: string): boolean | undefined => missing.find((symbol) => symbol.name === name)?.calledOnly;
  assert.equal(calledOnly('exc_nmi'), true);
  assert.equal(calledOnly('sync_regs'), true);
  assert.equal(calledOnly('cpu_tss_rw'), false);
  assert.equal(calledOnly('__per_cpu_offset'), false);
});
