/** Debug information that is wrong in one place each. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateSync } from 'node:zlib';
import { Assembler } from '../../src/assembler/index.js';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { elfObject } from '../../src/elf/writer.js';
import { InputError } from '../../src/errors.js';
import type { LineRow, Module } from '../../src/image/module.js';

const assembler = await Assembler.create();
const CODE = assembler.assembleText('f:\tnop\n\tpush\t%rax\n\tret\n', 'code.S');
const COMPRESSED = 0x800;

/** An executable of three instructions at 0x400000 with sections for debuggers, each with its flags. */
function executable(sections: Readonly<Record<string, readonly [data: Uint8Array, flags?: number]>>): Uint8Array {
  const module: Module = {
    ...CODE,
    sections: [
      ...CODE.sections,
      ...Object.entries(sections).map(([name, [data]]) => ({
        ...{ name, data, size: data.length, align: 1, alloc: false, write: false, exec: false },
        ...{ relocations: [], lines: [] },
      })),
    ],
  };
  const bytes = elfObject(module);
  const view = new DataView(bytes.buffer);
  const headers = Number(view.getBigUint64(40, true));
  const { sections: all } = readElf(bytes, 'x');
  view.setUint16(16, 2, true);
  for (const { index, name } of all) {
    const [, flags] = sections[name] ?? [];
    if (name === '.text') view.setBigUint64(headers + 64 * index + 16, 0x400000n, true);
    if (flags !== undefined) view.setBigUint64(headers + 64 * index + 8, BigInt(flags), true);
  }
  return bytes;
}

function rowsOf(bytes: Uint8Array): readonly LineRow[] {
  return moduleFromElf(readElf(bytes, 'bad.elf')).sections.find(({ name }) => name === '.text')!.lines;
}

const u16 = (value: number): number[] => [value & 0xff, value >> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: bigint): number[] => [...u32(Number(value & 0xffffffffn)), ...u32(Number(value >> 32n))];
const text = (value: string): number[] => [...Buffer.from(value), 0];

interface Parts {
  readonly length?: number;
  readonly version?: number;
  readonly headerLength?: number;
  /** minimum_instruction_length, maximum_operations_per_instruction, default_is_stmt, line_base, line_range, opcode_base. */
  readonly numbers?: readonly number[];
  readonly names?: readonly number[];
  readonly program?: readonly number[];
}

const SET_ADDRESS = [0, 9, 2, ...u64(0x400000n)];
const END = [0, 1, 1];
/** Line 7, then 8 at the next byte. */
const PROGRAM = [...SET_ADDRESS, 3, 6, 1, 2, 1, 3, 1, 1, 2, 2, ...END];

/** A unit of DWARF 4: one file, `a.S` in `dir`. */
function unit(parts: Parts = {}): number[] {
  const names = parts.names ?? [...text('dir'), 0, ...text('a.S'), 1, 0, 0, 0];
  const header = [...(parts.numbers ?? [1, 1, 1, 0xfb, 14, 13]), 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...names];
  const rest = [...u32(parts.headerLength ?? header.length), ...header, ...(parts.program ?? PROGRAM)];
  const all = [...u16(parts.version ?? 4), ...rest];
  return [...u32(parts.length ?? all.length), ...all];
}

/** A unit of DWARF 5, with what its tables of names hold. */
function unit5(tables: readonly number[], addressSize = 8): number[] {
  const header = [1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...tables];
  const all = [...u16(5), addressSize, 0, ...u32(header.length), ...header, ...PROGRAM];
  return [...u32(all.length), ...all];
}

const lines = (bytes: readonly number[], flags?: number): Uint8Array =>
  executable({ '.debug_line': flags === undefined ? [Uint8Array.from(bytes)] : [Uint8Array.from(bytes), flags] });
const packed = (method: number, size: bigint, data: Uint8Array): Uint8Array =>
  lines([...u32(method), ...u32(0), ...u64(size), ...u64(1n), ...data], COMPRESSED);
const zlib = (size: bigint, data: Uint8Array): Uint8Array => packed(1, size, data);

/** RFC 8878: a frame with a window of 1 KiB, a raw block, or one that repeats a byte, and no checksum. */
const zstdFrame = (type: 0 | 1, size: number, content: readonly number[]): Uint8Array =>
  Uint8Array.from([...u32(0xfd2fb528), 0x00, 0x58, ...u32((size << 3) | (type << 1) | 1).slice(0, 3), ...content]);

const UNIT = Uint8Array.from(unit());

const READ = ['0 dir/a.S:7', '1 dir/a.S:8', '2 dir/a.S:8'];
const RIGHT: Readonly<Record<string, Uint8Array>> = {
  'as it is': lines(unit()),
  'in zlib': zlib(BigInt(UNIT.length), deflateSync(UNIT)),
  'in zstd': packed(2, BigInt(UNIT.length), zstdFrame(0, UNIT.length, [...UNIT])),
  'DWARF 5, names in their own place': lines(
    unit5([1, 1, 8, 1, ...text('dir'), 1, 1, 8, 2, ...text('b.S'), ...text('a.S')]),
  ),
  'behind an opcode that is not known': lines(unit({ program: [0, 3, 0x80, 1, 2, ...PROGRAM] })),
  // DW_LNS_fixed_advance_pc, a special opcode for the next line, and opcodes that say nothing about lines.
  'other opcodes': lines(
    unit({ program: [...SET_ADDRESS, 3, 6, 6, 7, 10, 11, 12, 5, 1, 9, 1, 0, 19, 9, 2, 0, ...END] }),
  ),
  // DW_LNE_define_file, DW_LNS_set_file.
  'a file that the program defines': lines(
    unit({ names: [...text('dir'), 0, 0], program: [0, 8, 3, ...text('a.S'), 1, 0, 0, 4, 1, ...PROGRAM] }),
  ),
  'two units': lines([...unit({ program: [] }), ...unit()]),
};

for (const [what, bytes] of Object.entries(RIGHT)) {
  test(`lines are read: ${what}`, () => {
    assert.deepEqual(
      rowsOf(bytes).map(({ offset, position: { file, line } }) => `${offset} ${file}:${line}`),
      READ,
    );
  });
}

const BOMB = deflateSync(new Uint8Array(1 << 20));

const ERRORS: Readonly<Record<string, readonly [bytes: Uint8Array, message: RegExp]>> = {
  'a compressed section without a header': [
    lines([1, 0, 0], COMPRESSED),
    /has 3 bytes, less than the header of a compressed section \(24\)/,
  ],
  'a method that is not known': [
    packed(3, 10n, UNIT),
    /is compressed with method 3; zlib \(1\) and zstd \(2\) are known/,
  ],
  'damaged zlib data': [zlib(100n, Uint8Array.of(1, 2, 3, 4)), /cannot be unpacked \(incorrect header check\)/],
  'zlib data cut off': [
    zlib(BigInt(UNIT.length), deflateSync(UNIT).subarray(0, 20)),
    /cannot be unpacked \(unexpected end of file\)/,
  ],
  'a bomb that says its size': [
    zlib(1n << 40n, BOMB),
    /is to unpack to 0x10000000000 bytes, more than \d+ bytes of zlib data can be/,
  ],
  'a bomb that says another size': [zlib(100n, BOMB), /unpacks to more than the 0x64 bytes of its header/],
  'zlib data that is too short': [
    zlib(BigInt(UNIT.length) + 9n, deflateSync(UNIT)),
    /unpacks to 0x[0-9a-f]+ bytes, not to the 0x[0-9a-f]+ of its header/,
  ],
  'a zstd bomb that says its size': [
    packed(2, 1n << 33n, zstdFrame(1, 1 << 20, [0])),
    /is to unpack to 0x200000000 bytes, more than 256 MiB are read/,
  ],
  'a zstd bomb that says another size': [
    packed(2, 50n, zstdFrame(1, 100_000, [0])),
    /unpacks to more than the 0x32 bytes of its header/,
  ],
  'damaged zstd data': [packed(2, 50n, Uint8Array.of(1, 2, 3, 4, 5, 6)), /cannot be unpacked \(invalid zstd data\)/],
  'zstd data cut off': [packed(2, 50n, zstdFrame(0, 50, [1, 2])), /cannot be unpacked|unpacks to/],
  'a unit beyond the end': [
    lines(unit({ length: 5000 })),
    /at offset 0x0: a unit of 0x1388 bytes reaches beyond the section's 0x/,
  ],
  'a length that is reserved': [lines([...u32(0xfffffff5)]), /at offset 0x0: the length 0xfffffff5 is reserved/],
  'a length of 64 bits that is too large': [
    lines([...u32(0xffffffff), ...u64(1n << 60n)]),
    /at offset 0x4: 0x1000000000000000 is too large a number/,
  ],
  'no whole length': [lines([1, 2]), /at offset 0x0: 4 bytes are missing, for what is read ends at 0x2/],
  'an older version': [
    lines(unit({ version: 1 })),
    /at offset 0x4: line numbers of DWARF version 1 are not known \(2 to 5 are\)/,
  ],
  'a newer version': [lines(unit({ version: 6 })), /line numbers of DWARF version 6 are not known/],
  'a header beyond the unit': [
    lines(unit({ headerLength: 9999 })),
    /at offset 0x6: the header's length, 0x270f, reaches beyond the unit/,
  ],
  'several operations in an instruction': [
    lines(unit({ numbers: [1, 4, 1, 0xfb, 14, 13] })),
    /at offset 0xb: 4 operations in an instruction/,
  ],
  'no line range': [lines(unit({ numbers: [1, 1, 1, 0xfb, 0, 13] })), /at offset 0xe: the line range is 0/],
  'no opcodes': [lines(unit({ numbers: [1, 1, 1, 0xfb, 14, 0] })), /at offset 0xf: the first special opcode is 0/],
  'a name without an end': [
    lines(unit({ names: [0x41, 0x42], program: [0x43] })),
    /the string does not end before the data does/,
  ],
  'an extended opcode of no size': [lines(unit({ program: [0, 0] })), /an extended opcode of 0 bytes is not all there/],
  'an extended opcode cut off': [
    lines(unit({ program: [0, 200, 1, 2] })),
    /an extended opcode of 200 bytes is not all there/,
  ],
  'an address of another size': [lines(unit({ program: [0, 5, 2, 0, 0, 0, 0] })), /an address has 4 bytes, not 8/],
  'a LEB128 number without an end': [
    lines(unit({ program: [2, ...new Array<number>(40).fill(0x80)] })),
    /the LEB128 number is too large/,
  ],
  'a program cut off in an operand': [
    lines(unit({ program: [2, 0x80] })),
    /1 bytes are missing, for what is read ends at/,
  ],
  'addresses of 4 bytes': [
    lines(unit5([0, 0, 0, 0], 4)),
    /addresses of 4 bytes with segments of 0 are not those of x86-64/,
  ],
  'a form that is not known': [
    lines(unit5([1, 1, 0x77, 1, 1, 0, 0])),
    /a name has the form 0x77, which line numbers do not use/,
  ],
  'names in a table that is not there': [
    lines(unit5([1, 1, 0x1f, 1, 0, 0, 0, 0, 0, 0])),
    /a name is in \.debug_line_str, which the file does not have/,
  ],
  'names outside their table': [
    executable({
      '.debug_line': [Uint8Array.from(unit5([1, 1, 0x1f, 1, 9, 0, 0, 0, 0, 0]))],
      '.debug_line_str': [Uint8Array.of(0)],
    }),
    /section \.debug_line_str \(\d\): the name of a source file or directory is at offset 0x9, outside the table of 0x1 bytes/,
  ],
  'entries without fields': [lines(unit5([0, 0xff, 0xff, 3, 0, 0])), /65535 entries have no fields/],
  'more entries than there are': [
    lines(unit5([1, 3, 0x0f, 0xff, 0xff, 0x7f])),
    /1 bytes are missing, for what is read ends at/,
  ],
};

for (const [what, [bytes, message]] of Object.entries(ERRORS)) {
  test(what, () => {
    assert.throws(
      () => rowsOf(bytes),
      (error: unknown) => {
        assert.ok(error instanceof InputError, String(error instanceof Error ? error.stack : error));
        assert.match(error.message, message);
        assert.match(error.message, /^bad\.elf: section \.debug_line(_str)? \(\d\)[^\n]+; [^\n]+$/);
        return true;
      },
    );
  });
}
