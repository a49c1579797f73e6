/** Kernels as far as their symbol tables go. */
import type { LoadedSection } from '../../src/kernel/kallsyms.js';
import { generator } from '../support/random.js';
import { type Entry, type Form, symbolTable } from './tables.js';

export const TEXT = 0xffffffff81000000n;
export const RODATA = 0xffffffff82000000n;
export const TEXT_SIZE = 0x200000;
const PERCPU_SIZE = 0x3000;

/** `count` symbols: a quarter of them per-CPU (linked at 0) if there shall be any, the rest in the code. */
export function someSymbols(count: number, percpu: boolean, longest = 100): Entry[] {
  const random = generator(count);
  const below = (limit: number): number => random() % limit;
  const name = (i: number): string => {
    const begin = ['exc_', '__', 'sys_', 'nmi', 'do_', 'x86_'][below(6)]!;
    const long = below(50) === 0 ? 'z'.repeat(below(longest)) : '';
    return `${begin}${i.toString(36)}${['_init', '.cold', 'entry', '', '_64'][below(5)]}${long}`;
  };
  const few = percpu ? Math.floor(count / 4) : 0;
  const inPercpu = Array.from({ length: few }, (_, i) => BigInt(Math.floor((i * PERCPU_SIZE) / few)));
  const inText = Array.from(
    { length: count - few },
    (_, i) => TEXT + BigInt(Math.floor((i * TEXT_SIZE) / (count - few))),
  );
  return [...inPercpu, ...inText].map((address, i) => ({
    address,
    letter: address < TEXT ? 'A' : ['T', 't', 'W', 't'][below(4)]!,
    name: name(i),
  }));
}

/** A section of read-only data with the table in it, between things that look like tables and are none. */
export function kernel(table: (start: bigint) => Buffer): LoadedSection[] {
  const random = generator(1);
  const noise = Buffer.alloc(40_000);
  for (let at = 0; at < noise.length; at++) noise[at] = random() % 5 === 0 ? random() : 0;
  // Offsets that grow like those of tokens, and numbers that grow like markers.
  for (let i = 0; i < 300; i++) noise.writeUInt16LE(3 * i, 8000 + 2 * i);
  for (let i = 0; i < 30; i++) noise.writeUInt32LE(3000 * i, 16_000 + 4 * i);
  const data = Buffer.concat([noise, table(RODATA + BigInt(noise.length)), noise]);
  return [
    { name: '.rodata', address: RODATA, size: data.length, data },
    { name: '.text', address: TEXT, size: TEXT_SIZE, data: Buffer.alloc(TEXT_SIZE, 0x90) },
    { name: '.data..percpu', address: 0n, size: PERCPU_SIZE, data: Buffer.alloc(PERCPU_SIZE) },
  ];
}

/** The form that Xen's table has on x86 (xen/tools/symbols.c with SYMBOLS_ORIGIN). */
const XEN: Form = {
  order: 'before',
  addresses: 'xen',
  ...{ markerSize: 4, sequences: false, uleb128: false, align: 4 },
};

const XEN_PHYSICAL = 0x200000;
const XEN_DATA = 0x4000;
const XEN_BSS = 0x1000;

/** Xen's boot image: an ELF32 header, and a segment with code, initialisation code, data with pointers, and the table in it. */
export function xenImage(base: bigint, count = 400): Buffer {
  const start = base + BigInt(XEN_PHYSICAL);
  const parts: Readonly<Record<string, bigint>> = {
    ...{ _stext: 0n, _etext: 0x1000n, __2M_rodata_start: 0x1000n, __2M_rodata_end: 0x2000n },
    ...{ _sinittext: 0x2000n, _einittext: 0x3000n },
  };
  const entries: Entry[] = Object.entries(parts).map(([name, at]) => ({
    address: start + at,
    letter: name.includes('rodata') ? 'D' : 'T',
    name,
  }));
  for (let i = 0; i < count; i++) {
    const at = (i * XEN_DATA) / count;
    const code = at < 0x1000 || (at >= 0x2000 && at < 0x3000);
    // Two of three are local, of the same few names in different files.
    const name = i % 3 === 0 ? `symbol_${i}` : `arch/x86/file${i}.c#local_${i % 7}`;
    entries.push({
      address: start + BigInt(Math.floor(at)),
      letter: code ? (i % 3 ? 't' : 'T') : i % 3 ? 'd' : 'D',
      name,
    });
  }
  entries.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const data = Buffer.alloc(XEN_DATA, 0x90);
  // Pointers to functions, and numbers that are none.
  for (let i = 0; i < 64; i++) {
    data.writeBigUInt64LE(entries[i * 3]!.address, 0x3000 + 16 * i);
    data.writeBigUInt64LE(0xffffffffffff0000n + BigInt(i), 0x3008 + 16 * i);
  }
  const stored = Buffer.concat([data, symbolTable(entries, XEN, start + BigInt(XEN_DATA), base)]);
  const header = Buffer.alloc(0x80);
  header.write('\x7fELF\x01\x01\x01', 0, 'latin1');
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(3, 18);
  header.writeUInt32LE(52, 28);
  header.writeUInt16LE(32, 42);
  header.writeUInt16LE(1, 44);
  const program = [1, 0x80, XEN_PHYSICAL, XEN_PHYSICAL, stored.length, stored.length + XEN_BSS, 7, 64];
  for (const [i, value] of program.entries()) header.writeUInt32LE(value, 52 + 4 * i);
  return Buffer.concat([header, stored]);
}
