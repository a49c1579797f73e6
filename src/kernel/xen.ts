/**
 * Xen as it is booted: an ELF32 file for multiboot loaders (xen/arch/x86/boot/mkelf32.c) whose one segment is the 64-bit
 * hypervisor, with the symbols that it carries for its own messages (xen/tools/symbols.c: offsets from the start of the
 * hypervisor's addresses, names, markers, tokens).
 *
 * Nothing in the file says at which virtual addresses the code runs. The segment's physical addresses count from the same
 * place as the symbols, which is a multiple of 1 GiB (XEN_VIRT_START, xen/arch/x86/include/asm/config.h); which one, the
 * pointers in the image tell: nearly all lead to symbols.
 */
import { InputError } from '../errors.js';
import type { Module, ModuleSection, ModuleSymbol } from '../image/module.js';
import { findNames, type NameStream } from './name_stream.js';
import { moduleNames, type OwnName, ownName } from './own_symbols.js';
import { findTokenTable } from './token_table.js';

/** System V ABI, chapter 4: the fields of an ELF32 header and program header that matter here. */
const AT = { class: 4, machine: 18, phoff: 28, phentsize: 42, phnum: 44 } as const;
const EM_386 = 3;
const PT_LOAD = 1;
const PHDR_SIZE = 32;
const GIB = 1n << 30n;
/** No segment of a hypervisor is larger, in memory. Bytes. */
const MOST_MEMORY = 1 << 30;
/** So many pointers must lead to symbols before the base is believed. */
const FEWEST_POINTERS = 16;

/** e_type of an executable (gABI, ELF Header). */
const ET_EXEC = 2;

/** Whether the file is a 32-bit executable, which is taken for Xen or refused. */
export function isBootImage(bytes: Uint8Array): boolean {
  return [0x7f, 0x45, 0x4c, 0x46, 1].every((byte, i) => bytes[i] === byte) && bytes[16] === ET_EXEC;
}

interface Segment {
  readonly data: Uint8Array;
  readonly physical: number;
  /** In memory. */
  readonly size: number;
}

/** The hypervisor in a multiboot image, as a module. */
export function xenModule(bytes: Uint8Array, file: string): Module {
  const segment = loadedSegment(bytes, file);
  const table = findTokenTable(segment.data, 0);
  const names = table && findNames(segment.data, table);
  if (!names) {
    throw new InputError(
      `${file}: is a 32-bit ELF file without Xen's symbol table; give a 64-bit vmlinux or xen-syms, or the xen.gz that is booted`,
    );
  }
  const offsets = offsetsOf(segment, names);
  if (!offsets) {
    throw new InputError(
      `${file}: Xen's symbol table: no table of ${names.count} offsets that lie in the image stands before the names; the file is damaged: get it again`,
    );
  }
  const base = baseOf(segment, offsets, file);
  const own = names.names.map(ownName);
  const sections = sectionsOf(segment, base, partsOf(own, offsets));
  const symbols = symbolsOf(own, offsets, base, sections);
  return { name: file, sections, symbols, sources: new Map([[file, '']]) };
}

function loadedSegment(bytes: Uint8Array, file: string): Segment {
  const refuse = (problem: string): never => {
    throw new InputError(`${file}: ${problem}; the file is damaged, or no hypervisor: get it again`);
  };
  if (bytes.length < 52) refuse(`ends after ${bytes.length} bytes, within the ELF header of 52`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const machine = view.getUint16(AT.machine, true);
  if (machine !== EM_386) {
    throw new InputError(`${file}: is a 32-bit ELF file for machine ${machine}; give one for x86-64, or a xen.gz`);
  }
  const table = view.getUint32(AT.phoff, true);
  const count = view.getUint16(AT.phnum, true);
  if (view.getUint16(AT.phentsize, true) !== PHDR_SIZE) refuse('has program headers of another size than 32 bytes');
  if (table + count * PHDR_SIZE > bytes.length) {
    refuse(`the ${count} program headers at offset 0x${table.toString(16)} end beyond the file`);
  }
  const loaded: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * PHDR_SIZE;
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    const [offset, physical, stored, size] = [4, 12, 16, 20].map((field) => view.getUint32(at + field, true)) as [
      number,
      number,
      number,
      number,
    ];
    if (offset + stored > bytes.length || stored > size || size > MOST_MEMORY) {
      refuse(
        `segment ${i}: 0x${stored.toString(16)} bytes at offset 0x${offset.toString(16)}, 0x${size.toString(16)} in memory, do not fit the file or each other`,
      );
    }
    loaded.push({ data: bytes.subarray(offset, offset + stored), physical, size });
  }
  if (loaded.length !== 1) refuse(`is a 32-bit ELF file with ${loaded.length} loaded segments, where Xen has 1`);
  return loaded[0]!;
}

/** The symbols' offsets from the base, which are sorted. */
function offsetsOf({ data, physical, size }: Segment, { count, countAt }: NameStream): Uint32Array | undefined {
  const start = countAt - 4 * count;
  if (start < 0) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const offsets = new Uint32Array(count);
  let inside = 0;
  for (let i = 0; i < count; i++) {
    const offset = view.getUint32(start + 4 * i, true);
    if (i > 0 && offset < offsets[i - 1]!) return undefined;
    // The base itself has a name too, and lies before the image.
    if (offset >= physical && offset <= physical + size) inside++;
    offsets[i] = offset;
  }
  return inside >= 0.95 * count ? offsets : undefined;
}

function baseOf({ data, physical, size }: Segment, offsets: Uint32Array, file: string): bigint {
  const known = new Set(offsets);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const hits = new Map<number, number>();
  for (let at = 0; at + 8 <= data.length; at += 8) {
    const high = view.getUint32(at + 4, true);
    if (high < 0xffff8000) continue;
    const low = view.getUint32(at, true);
    const offset = low & 0x3fffffff;
    if (offset < physical || offset >= physical + size || !known.has(offset)) continue;
    const base = high * 4 + (low >>> 30);
    hits.set(base, (hits.get(base) ?? 0) + 1);
  }
  const [best, next] = [...hits].sort(([, a], [, b]) => b - a);
  if (!best || best[1] < FEWEST_POINTERS || best[1] < 4 * (next?.[1] ?? 0)) {
    throw new InputError(
      `${file}: the virtual addresses of this hypervisor cannot be told: its pointers do not agree; give xen-syms instead`,
    );
  }
  return BigInt(best[0]) * GIB;
}

/** Where the linker script's parts begin and end, as offsets from the base (xen/arch/x86/xen.lds.S). */
interface Parts {
  /** Global symbols. */
  readonly labels: ReadonlyMap<string, number>;
  /** Those of data, in order. */
  readonly data: readonly number[];
}

function partsOf(own: readonly OwnName[], offsets: Uint32Array): Parts {
  const labels = new Map<string, number>();
  const data: number[] = [];
  own.forEach(({ name, binding, type }, i) => {
    if (binding !== 'local') labels.set(name, offsets[i]!);
    if (type !== 'func') data.push(offsets[i]!);
  });
  return { labels, data };
}

const READ_ONLY = [
  { name: '.text', from: '_stext', to: '_etext', exec: true },
  { name: '.rodata', from: '__2M_rodata_start', to: '__2M_rodata_end', exec: false },
  { name: '.init.text', from: '_sinittext', to: '_einittext', exec: true },
] as const;

/** Sections with the names and permissions of the linker script; what lies between and behind the known ones is data. */
function sectionsOf(segment: Segment, base: bigint, { labels, data }: Parts): ModuleSection[] {
  const { physical, size } = segment;
  const stored = physical + segment.data.length;
  const sections: ModuleSection[] = [];
  const add = (kind: string, from: number, to: number, flags: { write: boolean; exec: boolean }): void => {
    if (to <= from) return;
    const others = sections.filter(({ name }) => name.split('#')[0] === kind).length;
    sections.push({
      ...{ name: others === 0 ? kind : `${kind}#${others + 1}`, align: 1, alloc: true, relocations: [], lines: [] },
      ...flags,
      address: base + BigInt(from),
      data: from < stored ? segment.data.subarray(from - physical, Math.min(to, stored) - physical) : new Uint8Array(0),
      size: to - from,
    });
  };
  const addData = (from: number, to: number): void => {
    const flags = { write: true, exec: false };
    add('.data', from, Math.min(to, stored), flags);
    add('.bss', Math.max(from, stored), to, flags);
  };
  let at = physical;
  for (const { name, from, to, exec } of READ_ONLY) {
    const [start, last] = [labels.get(from), labels.get(to)];
    if (start === undefined || last === undefined || start < at || last < start || last > stored) continue;
    // Behind the last function lies code without a name (alternatives), up to the first symbol of data.
    const end = exec ? Math.min(stored, data.find((offset) => offset >= last) ?? last) : last;
    addData(at, start);
    add(name, start, end, { write: false, exec });
    at = end;
  }
  addData(at, physical + size);
  return sections;
}

function symbolsOf(
  own: readonly OwnName[],
  offsets: Uint32Array,
  base: bigint,
  sections: readonly ModuleSection[],
): ModuleSymbol[] {
  const ends = sections.map(({ address, size }) => Number(address! - base) + size);
  let home = 0;
  const names = moduleNames(own);
  return own.map(({ binding, type }, i) => {
    const offset = offsets[i]!;
    // A symbol at the border of two sections belongs to the one that begins there.
    while (home < sections.length - 1 && offset >= ends[home]!) home++;
    const section = sections[home]!;
    const start = Number(section.address! - base);
    const inside = offset >= start && offset <= ends[home]!;
    let next = i + 1;
    while (next < offsets.length && offsets[next] === offset) next++;
    const end = Math.min(ends[home]!, offsets[next] ?? ends[home]!);
    return {
      name: names[i]!,
      section: inside ? section.name : 'absolute',
      value: inside ? BigInt(offset - start) : base + BigInt(offset),
      size: inside ? BigInt(end - offset) : 0n,
      binding,
      type,
    };
  });
}
