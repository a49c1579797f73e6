/** Where an image keeps what its boot code patches by: a section, or two symbols around it in a larger one. */
import { InputError } from '../errors.js';
import type { PatchedMemory } from './memory.js';

/** Name of the section, and the symbols around it in a linked kernel. */
export interface TableName {
  readonly section: string;
  readonly start: string;
  readonly end: string;
}

export interface Table {
  /** File, section and offset of a byte of the table: for messages. */
  readonly where: (offset: number) => string;
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** All tables of this name: one for each module, or the kernel's one. */
export function tables(memory: PatchedMemory, name: TableName): Table[] {
  // Of several sections with one name in a file, the others have a number behind it.
  const isOne = (section: string): boolean => section === name.section || section.startsWith(`${name.section}#`);
  const sections = memory.image.sections.filter((s) => isOne(s.name) && s.size > 0);
  if (sections.length > 0) {
    return sections.map((section) => ({
      where: (offset) => `${section.module}: ${section.name}+0x${offset.toString(16)}`,
      address: section.address,
      bytes: memory.read(section.address, section.size)!,
    }));
  }
  const start = memory.image.find(name.start)?.address;
  const end = memory.image.find(name.end)?.address;
  if (start === undefined || end === undefined || start === end) return [];
  const section = memory.sectionAt(start);
  const size = Number(end - start);
  if (!section || size < 0 || !memory.sectionAt(start, size)) {
    throw new InputError(
      `${section?.module ?? memory.image.tested[0] ?? 'the image'}: ${name.start} (0x${start.toString(16)}) and ${name.end} (0x${end.toString(16)}) are not in order in one section; the symbols are damaged`,
    );
  }
  const base = Number(start - section.address);
  const where = (offset: number): string =>
    `${section.module}: ${name.start}+0x${offset.toString(16)} (${section.name}+0x${(base + offset).toString(16)})`;
  return [{ where, address: start, bytes: memory.read(start, size)! }];
}

/** The targets of a table of 32-bit offsets, each relative to its own place. */
export function offsets(table: Table, entry = 4): { readonly target: bigint; readonly offset: number }[] {
  if (table.bytes.length % entry !== 0) {
    throw new InputError(
      `${table.where(0)}: ${table.bytes.length} bytes are no whole number of entries of ${entry}; the table is damaged`,
    );
  }
  const view = viewOf(table.bytes);
  return Array.from({ length: table.bytes.length / entry }, (_, i) => {
    const offset = i * entry;
    return { target: relative(table.address, view, offset), offset };
  });
}

/** The address that the 32-bit field at an offset points to from where it stands. */
export function relative(base: bigint, view: DataView, offset: number): bigint {
  return BigInt.asUintN(64, base + BigInt(offset) + BigInt(view.getInt32(offset, true)));
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
