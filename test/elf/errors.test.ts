/** Files that are wrong in one place each: the message says which, where, and what to do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { elfObject } from '../../src/elf/writer.js';
import { InputError } from '../../src/errors.js';

const assembler = await Assembler.create();

/** Sections 1 .text, 2 .rela.text, 3 .data, 4 .bss, 5 .symtab, 6 .strtab, 7 .shstrtab. */
const OBJECT = elfObject(
  assembler.assembleText(
    `
	.globl	f
f:	call	outside
	movq	$var, %rax
	ret
	.data
var:	.quad	1
	.bss
room:	.skip	64
`,
    'object.S',
  ),
);

/** gABI, Elf64_Ehdr, Elf64_Shdr, Elf64_Sym, Elf64_Rela: offset and size of a field. */
const HEADER = {
  class: [4, 1],
  data: [5, 1],
  version: [20, 4],
  type: [16, 2],
  machine: [18, 2],
  phoff: [32, 8],
} as const;
const HEADER_TABLES = {
  shoff: [40, 8],
  phentsize: [54, 2],
  phnum: [56, 2],
  shentsize: [58, 2],
  shnum: [60, 2],
  shstrndx: [62, 2],
} as const;
const SECTION = {
  name: [0, 4],
  type: [4, 4],
  flags: [8, 8],
  address: [16, 8],
  offset: [24, 8],
  size: [32, 8],
  link: [40, 4],
  info: [44, 4],
  align: [48, 8],
  entrySize: [56, 8],
} as const;
const SYMBOL = { name: [0, 4], info: [4, 1], section: [6, 2], value: [8, 8], size: [16, 8] } as const;
const RELOCATION = { offset: [0, 8], type: [8, 4], symbol: [12, 4] } as const;

type Patch = readonly [at: number, field: readonly [offset: number, size: number], value: number | bigint];

function patched(...patches: readonly Patch[]): Uint8Array {
  const ends = patches.map(([at, [offset, size]]) => at + offset + size);
  const bytes = new Uint8Array(Math.max(OBJECT.length, ...ends));
  bytes.set(OBJECT);
  for (const [at, [offset, size], value] of patches) {
    for (let i = 0; i < size; i++) bytes[at + offset + i] = Number(BigInt.asUintN(8, BigInt(value) >> BigInt(8 * i)));
  }
  return bytes;
}

const elf = readElf(OBJECT, 'object.o');
const headersAt = Number(new DataView(OBJECT.buffer).getBigUint64(40, true));
const header = (name: keyof typeof HEADER | keyof typeof HEADER_TABLES, value: number | bigint): Patch => [
  0,
  { ...HEADER, ...HEADER_TABLES }[name],
  value,
];
const section = (index: number, name: keyof typeof SECTION, value: number | bigint): Patch => [
  headersAt + 64 * index,
  SECTION[name],
  value,
];
const symbol = (index: number, name: keyof typeof SYMBOL, value: number | bigint): Patch => [
  elf.sections[5]!.offset + 24 * index,
  SYMBOL[name],
  value,
];
const relocation = (index: number, name: keyof typeof RELOCATION, value: number | bigint): Patch => [
  elf.sections[2]!.offset + 24 * index,
  RELOCATION[name],
  value,
];
const open = (bytes: Uint8Array) => moduleFromElf(readElf(bytes, 'bad.o'));
const SIZE = `0x${OBJECT.length.toString(16)}`;
const outside = elf.symbols.find(({ name }) => name === 'outside')!.index;
const f = elf.symbols.find(({ name }) => name === 'f')!.index;

/** The object as an executable of three sections. */
const EXECUTABLE: readonly Patch[] = [
  header('type', 2),
  section(1, 'address', 0x400000),
  section(3, 'address', 0x401000),
  section(4, 'address', 0x402000),
];

/** One program header, behind everything else. */
function segment(offset: number, address: number, size: number): Patch[] {
  const at = OBJECT.length;
  const fields: readonly Patch[] = [
    [at, [0, 4], 1],
    [at, [4, 4], 5],
    [at, [8, 8], offset],
    [at, [16, 8], address],
    [at, [24, 8], address],
    [at, [32, 8], size],
    [at, [40, 8], size],
    [at, [48, 8], 1],
  ];
  return [header('phoff', at), header('phentsize', 56), header('phnum', 1), ...fields];
}

const ERRORS: Readonly<Record<string, readonly [bytes: Uint8Array, message: RegExp]>> = {
  'no ELF file': [Uint8Array.of(1, 2, 3, 4, 5), /^bad\.o: is not an ELF file: it does not begin with 7f 45 4c 46$/],
  'an empty file': [new Uint8Array(0), /^bad\.o: is not an ELF file/],
  'a header cut off': [OBJECT.slice(0, 63), /^bad\.o: ends after 63 bytes, within the ELF header of 64;/],
  '32 bits': [patched(header('class', 1)), /^bad\.o: is not a 64-bit ELF file \(class 1\)/],
  'big-endian': [patched(header('data', 2)), /^bad\.o: is not a little-endian ELF file \(data 2\)/],
  'another version': [patched(header('version', 2)), /has the ELF version 2;/],
  'another machine': [patched(header('machine', 183)), /is for machine 183, not for x86-64 \(62\)/],
  'another type': [
    patched(header('type', 77)),
    /has the ELF type 77; give a relocatable object \(1\) or an executable \(2\)/,
  ],
  'a core dump': [patched(header('type', 4)), /is a core dump;/],
  'section headers beyond the end': [
    patched(header('shoff', 1 << 20)),
    /section header 0, 0x40 bytes at offset 0x100000, ends beyond the file's/,
  ],
  'section headers at no number': [
    patched(header('shoff', 1n << 60n)),
    /the place of the section headers is 0x1000000000000000 \(at offset 0x28\)/,
  ],
  'section headers cut off': [
    OBJECT.slice(0, OBJECT.length - 1),
    /the table of 8 section headers, 0x200 bytes at offset 0x[0-9a-f]+, ends beyond the file's 0x/,
  ],
  'a huge number of section headers': [
    patched(header('shnum', 0), section(0, 'size', 1n << 40n)),
    /the table of 1099511627776 section headers, /,
  ],
  'section headers of another size': [
    patched(header('shentsize', 40)),
    /the section headers have 40 bytes each, not 64/,
  ],
  'program headers beyond the end': [
    patched(header('phoff', 64), header('phentsize', 56), header('phnum', 999)),
    /the table of 999 program headers, 0xda88 bytes at offset 0x40, ends beyond/,
  ],
  'program headers of another size': [
    patched(header('phoff', 64), header('phentsize', 0), header('phnum', 1)),
    /the program headers have 0 bytes each, not 56/,
  ],
  'a segment beyond the end': [
    patched(
      header('phoff', 64),
      header('phentsize', 56),
      header('phnum', 1),
      [72, [0, 8], 0x10],
      [96, [0, 8], 1 << 20],
    ),
    /segment 0, 0x100000 bytes at offset 0x10, ends beyond/,
  ],
  'names of sections in no section': [
    patched(header('shstrndx', 99)),
    /the header names section 99 as that of the sections' names, but there are 8/,
  ],
  'names of sections in code': [
    patched(header('shstrndx', 1)),
    /section 1, which the header names as that of the sections' names, is not a string table/,
  ],
  'a section beyond the end': [
    patched(section(1, 'size', 1 << 20)),
    new RegExp(`section 1, 0x100000 bytes at offset 0x40, ends beyond the file's ${SIZE} bytes`),
  ],
  'a section of no size': [patched(section(1, 'size', 1n << 63n)), /the size of section 1 is 0x8000000000000000/],
  'a section at no offset': [patched(section(1, 'offset', 1n << 63n)), /the offset of section 1 is 0x8000000000000000/],
  'an alignment of no power of two': [
    patched(section(3, 'align', 24)),
    /the alignment of section 3, 0x18 \(at offset 0x[0-9a-f]+\), is not a power of two/,
  ],
  'a huge alignment': [
    patched(section(3, 'align', 1n << 40n)),
    /section \.data \(3\): has the alignment 0x10000000000/,
  ],
  'a huge .bss': [
    patched(section(4, 'size', 1n << 40n)),
    /section \.bss \(4\): with its 0x10000000000 bytes the sections in memory have more than 1024 MiB/,
  ],
  "a section's name outside the table": [
    patched(section(1, 'name', 0xfffff)),
    /section 7: the name of section 1 is at offset 0xfffff, outside the table of 0x/,
  ],
  "a section's name without an end": [
    patched([elf.sections[7]!.offset + elf.sections[7]!.size - 1, [0, 1], 0x41]),
    /section 7: the name of section \d at offset 0x[0-9a-f]+ does not end before the table does/,
  ],
  "a section's name with a line break": [
    patched([elf.sections[7]!.offset + 1, [0, 1], 10]),
    /section 7: the name of section \d at offset 0x1 has the control character 0x0a/,
  ],
  'sections that overlap in the file': [
    patched(section(3, 'offset', elf.sections[1]!.offset + 4)),
    /section \.data \(3\) at 0x44 overlaps section \.text \(1\), which ends at 0x[0-9a-f]+, in the file/,
  ],
  'sections that overlap in memory': [
    patched(...EXECUTABLE, section(3, 'address', 0x400004)),
    /section \.data \(3\) at 0x400004 overlaps section \.text \(1\), which ends at 0x40000d, in memory/,
  ],
  'a symbol table that links to itself': [
    patched(section(5, 'link', 5)),
    /section \.symtab \(5\): section 5, which its header links to, is not a string table/,
  ],
  'a symbol table that links to no section': [
    patched(section(5, 'link', 1000)),
    /section \.symtab \(5\): its header links to section 1000, but there are 8/,
  ],
  'symbols of size 0': [patched(section(5, 'entrySize', 0)), /section \.symtab \(5\): the entry size is 0, not 24/],
  'symbols of another size': [
    patched(section(5, 'entrySize', 16)),
    /section \.symtab \(5\): the entry size is 16, not 24/,
  ],
  'half a symbol': [
    patched(section(5, 'size', elf.sections[5]!.size - 12)),
    /section \.symtab \(5\): the size, 0x[0-9a-f]+, is no multiple of the entry size 24/,
  ],
  "a symbol's name outside the table": [
    patched(symbol(f, 'name', 0x1000)),
    new RegExp(`section \\.strtab \\(6\\): the name of symbol ${f} is at offset 0x1000, outside the table of 0x`),
  ],
  "a symbol's name without an end": [
    patched([elf.sections[6]!.offset + elf.sections[6]!.size - 1, [0, 1], 0x41]),
    /section \.strtab \(6\): the name of symbol \d at offset 0x[0-9a-f]+ does not end before the table does/,
  ],
  'a symbol in no section': [
    patched(symbol(f, 'section', 50)),
    new RegExp(`section \\.symtab \\(5\\): symbol ${f} at offset 0x[0-9a-f]+ lies in section 50, but there are 8`),
  ],
  'a symbol in a section of an index that is not there': [
    patched(symbol(f, 'section', 0xffff)),
    /the section index of symbol \d is in a table \(SYMTAB_SHNDX\) that the file does not have/,
  ],
  'a symbol of no binding': [
    patched(symbol(f, 'info', 0x70)),
    /symbol \d at offset 0x[0-9a-f]+ has the binding 7, which is not known/,
  ],
  'a symbol of no type': [
    patched(symbol(f, 'info', 0x1c)),
    /symbol \d at offset 0x[0-9a-f]+ has the type 12, which is not known/,
  ],
  'an undefined local symbol': [patched(symbol(outside, 'info', 0)), /symbol outside: is local, but not defined/],
  'an indirect function': [patched(symbol(f, 'info', 0x1a)), /symbol f: is an indirect function \(STT_GNU_IFUNC\)/],
  'a huge COMMON symbol': [
    patched(symbol(f, 'section', 0xfff2), symbol(f, 'size', 1n << 50n)),
    /symbol f: is COMMON with size 0x4000000000000 and alignment 0x0/,
  ],
  'two symbol tables': [patched(section(3, 'type', 2)), /section \.symtab \(5\): is a second symbol table/],
  'a relocation outside its section': [
    patched(relocation(0, 'offset', 0x1000)),
    /section \.rela\.text \(2\): relocation 0 at offset 0x0 is for offset 0x1000 of \.text, which has 0xd bytes/,
  ],
  'a relocation over the end of its section': [
    patched(relocation(1, 'offset', 11)),
    /section \.text \(1\) at offset 0xb: the relocation R_X86_64_32S to \S+ needs 4 bytes, but the section's contents end at 0xd/,
  ],
  'a relocation of no symbol': [
    patched(relocation(1, 'symbol', 99)),
    new RegExp(
      `section \\.rela\\.text \\(2\\): relocation 1 at offset 0x18 refers to symbol 99, but there are ${elf.symbols.length}`,
    ),
  ],
  'relocations of no section': [
    patched(section(2, 'info', 99)),
    /section \.rela\.text \(2\): relocates section 99, but there are 8/,
  ],
  'relocations without symbols': [
    patched(section(2, 'link', 6)),
    /section \.rela\.text \(2\): section 6, which its header links to, is not a symbol table/,
  ],
  'relocations of another size': [
    patched(section(2, 'entrySize', 8)),
    /section \.rela\.text \(2\): the entry size is 8, not 24/,
  ],
  'relocations without addends': [
    patched(section(2, 'type', 9)),
    /section \.rela\.text \(2\): its relocations have no addends \(REL\)/,
  ],
  'a relocation of no type': [
    patched(relocation(0, 'type', 200)),
    /section \.text \(1\) at offset 0x1: the relocation type 200 is not known/,
  ],
  'a global offset table': [
    patched(relocation(0, 'type', 9)),
    /section \.text \(1\) at offset 0x1: the relocation R_X86_64_GOTPCREL to outside needs a global offset table, which is not made; build with -mcmodel=kernel -fno-pic/,
  ],
  'a relaxable one': [
    patched(relocation(0, 'type', 42)),
    /R_X86_64_REX_GOTPCRELX to outside needs a global offset table/,
  ],
  'thread-local storage': [
    patched(relocation(0, 'type', 23)),
    /R_X86_64_TPOFF32 to outside is for thread-local storage, which kernels do not have/,
  ],
  'a relocation for a loader': [
    patched(relocation(0, 'type', 8)),
    /R_X86_64_RELATIVE to outside is not for the linker of static code/,
  ],
  'a program that is compressed': [
    patched(section(1, 'flags', 0x806)),
    /section \.text \(1\): is compressed, but belongs to the program/,
  ],
  'an empty group': [
    patched(section(3, 'type', 17), section(3, 'size', 0)),
    /section \.data \(3\): a section group of 0x0 bytes; they are words of 4, at least one/,
  ],
  'a group of a section that is not there': [
    patched(section(3, 'type', 17), section(3, 'link', 5), [elf.sections[3]!.offset + 4, [0, 4], 30]),
    /section \.data \(3\): holds at offset 0x4 section 30, which cannot be in a group/,
  ],
  'a group without a signature': [
    patched(section(3, 'type', 17), section(3, 'link', 5), section(3, 'info', 500)),
    /section \.data \(3\): its signature is symbol 500, but there are/,
  ],
  'an executable without sections': [patched(header('type', 2), header('shoff', 0)), /has no sections that are loaded/],
  'debug information only': [
    patched(...EXECUTABLE, section(1, 'type', 8)),
    /section \.text \(1\): is code, but has no contents: this is a file of debug information only/,
  ],
  'a section that is loaded from elsewhere': [
    patched(...EXECUTABLE, ...segment(0x41, 0x400000, 13)),
    /section \.text \(1\): is at offset 0x40 of the file, but what is loaded at its address, 0x400000, is at offset 0x41/,
  ],
  'a section that is not loaded as a whole': [
    patched(...EXECUTABLE, ...segment(0x40, 0x400000, 5)),
    /section \.text \(1\): ends at 0x40000d, behind the segment that it is loaded with/,
  ],
  'an executable for a loader': [
    patched(header('type', 3), section(2, 'flags', 2), section(1, 'address', 0x1000)),
    /section \.rela\.text \(2\): has relocations for a dynamic linker, which is not modelled; link statically/,
  ],
};

test('the object opens', () => {
  assert.equal(open(OBJECT).sections.length, 3);
  assert.equal(open(patched(...EXECUTABLE)).sections[1]!.address, 0x401000n);
});

for (const [what, [bytes, message]] of Object.entries(ERRORS)) {
  test(what, () => {
    assert.throws(
      () => open(bytes),
      (error: unknown) => {
        assert.ok(error instanceof InputError, String(error instanceof Error ? error.stack : error));
        assert.match(error.message, message);
        assert.match(error.message, /^bad\.o: [^\n]+$/);
        return true;
      },
    );
  });
}

test('cut off anywhere', () => {
  for (let length = 0; length < OBJECT.length; length++) {
    assert.throws(() => open(OBJECT.slice(0, length)), InputError, `${length} bytes`);
  }
});
