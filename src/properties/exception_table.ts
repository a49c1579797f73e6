/** The exception table of an image: where software goes on after a fault of an instruction that may have one. */
import { InputError } from '../errors.js';
import type { Image, PlacedSection } from '../image/image.js';

/** An entry: of the instruction, and of where the code goes on. */
export interface Fixup {
  readonly from: bigint;
  readonly to: bigint;
}

/** A form of entries: bytes of each, and how the two addresses of one are read. */
interface Form {
  readonly size: number;
  readonly read: (view: DataView, at: number, address: bigint) => Fixup;
}

/** Two 32-bit offsets, each from its own place. */
function relative(view: DataView, at: number, address: bigint): Fixup {
  const field = (place: number): bigint =>
    BigInt.asUintN(64, address + BigInt(place) + BigInt(view.getInt32(place, true)));
  return { from: field(at), to: field(at + 4) };
}

/**
 * Pairs of addresses, as the handlers of asm/ have them; what Linux has had since 4.6 (the two offsets, and a word that says what is to
 * be done besides, or where that is done; arch/x86/include/asm/extable.h), and what it had since 3.5, and Xen has.
 */
const FORMS: readonly Form[] = [
  { size: 16, read: (view, at) => ({ from: view.getBigUint64(at, true), to: view.getBigUint64(at + 8, true) }) },
  { size: 12, read: relative },
  { size: 8, read: relative },
];

/** Where tables lie: in sections of a name, and between symbols, the first of them and the one behind it. */
export interface ExceptionTables {
  readonly exceptionTable?: string;
  readonly exceptionTablesBetween?: readonly (readonly [from: string, to: string])[];
}

/** The entries of all tables. The form of a table's is the one by which all of them lead to code. */
export function fixupsOf(image: Image, { exceptionTable, exceptionTablesBetween = [] }: ExceptionTables): Fixup[] {
  const code = image.sections.filter(({ segment }) => segment.endsWith('text'));
  const isCode = (address: bigint): boolean =>
    code.some((s) => address >= s.address && address < s.address + BigInt(s.size));
  const own = image.sections.filter(({ name }) => name === exceptionTable);
  const parts = exceptionTablesBetween.flatMap(([from, to]) => between(image, from, to));
  return [...own, ...parts].flatMap((table) => entriesOf(table, isCode));
}

type Table = Pick<PlacedSection, 'name' | 'module' | 'address' | 'data'>;

/** The part of a section between two symbols; nothing where an image lacks them. */
function between(image: Image, from: string, to: string): Table[] {
  const start = image.find(from)?.address;
  const end = image.find(to)?.address;
  const section = start === undefined ? undefined : image.sectionAt(start);
  if (start === undefined || end === undefined || !section) return [];
  const data = section.data.subarray(Number(start - section.address), Number(end - section.address));
  return [{ name: from, module: section.module, address: start, data }];
}

function entriesOf(table: Table, isCode: (address: bigint) => boolean): Fixup[] {
  const { data, address } = table;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (const { size, read } of FORMS) {
    if (data.byteLength % size !== 0) continue;
    const entries: Fixup[] = [];
    for (let at = 0; at < data.byteLength; at += size) {
      const entry = read(view, at, address);
      if (!isCode(entry.from) || !isCode(entry.to)) break;
      entries.push(entry);
    }
    if (entries.length * size === data.byteLength) return entries;
  }
  throw new InputError(
    `${table.module}: ${table.name}: its ${data.byteLength} bytes are no table of pairs of addresses of code (8 bytes each, or 4-byte offsets in entries of 8 or 12); the file is damaged, or not a kernel's`,
  );
}
