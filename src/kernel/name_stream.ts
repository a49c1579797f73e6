/**
 * The names of a kernel's own symbol table, and the markers (the offset of every 256th name in them) that lead to them.
 * Each name is its length and so many tokens; the first character is the letter that `nm` prints for the symbol's type.
 */
import type { TokenTable } from './token_table.js';

const GROUP = 256;
/** More bytes than a name takes. */
const LONGEST_NAME = 514;
/** Characters: KSYM_NAME_LEN is 512. */
const LONGEST_TEXT = 1024;
/** All names together, in characters; those of a distribution's kernel have 2 million. */
const MOST_TEXT = 64 * 1024 * 1024;
/** Nothing is aligned to more bytes. */
const MOST_PADDING = 32;

export interface NameStream {
  readonly count: number;
  /** Offset of the number of names, which stands before them. */
  readonly countAt: number;
  /** Size of one marker in bytes. */
  readonly markerSize: number;
  /** Type letter and name. */
  readonly names: readonly string[];
}

/**
 * How lengths are written: since Linux 6.1 one of 128 and more takes a second byte (ULEB128), before a length was one byte.
 */
const FORMS = ['uleb128', 'byte'] as const;
type LengthForm = (typeof FORMS)[number];

/** The names whose markers stand somewhere before the token table. There must be more than 256. */
export function findNames(data: Uint8Array, table: TokenTable): NameStream | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  // Linux wrote markers of 8 bytes before 4.20.
  for (const size of [4, 8]) {
    const marker = (at: number): number =>
      size === 8 && view.getUint32(at + 4, true) !== 0 ? Number.NaN : view.getUint32(at, true);
    // From the table on, since they stand shortly before it.
    for (let at = (table.start - 2 * size) & ~3; at >= 0; at -= 4) {
      if (marker(at) !== 0 || !isStep(marker(at + size))) continue;
      let end = at + 2 * size;
      while (end + size <= table.start && isStep(marker(end) - marker(end - size))) end += size;
      const groups = (end - at) / size;
      // Between them and the table stands at most a number of 3 bytes for each symbol (kallsyms_seqs_of_names, 6.2 and 6.3).
      if (table.start - end > 3 * GROUP * groups + MOST_PADDING) continue;
      const found = namesBefore(view, table, at, size, groups);
      if (found) return found;
    }
  }
  return undefined;
}

/** Whether 256 names can take so many bytes. */
const isStep = (bytes: number): boolean => bytes >= 2 * GROUP && bytes <= LONGEST_NAME * GROUP;

/** The names before the markers at `markers`; what follows the last marker may look like one more. */
function namesBefore(
  view: DataView,
  table: TokenTable,
  markers: number,
  size: number,
  most: number,
): NameStream | undefined {
  for (let groups = most; groups >= Math.max(2, most - 3); groups--) {
    const last = view.getUint32(markers + size * (groups - 1), true);
    for (
      let start = (markers - last - 2) & ~3;
      start >= 8 && start >= markers - last - LONGEST_NAME * GROUP;
      start -= 4
    ) {
      // The number of names stands before them, aligned to 8 bytes (Linux) or to what the names need (Xen).
      const countAt = view.getUint32(start - 4, true) === 0 ? start - 8 : start - 4;
      const count = view.getUint32(countAt, true);
      if (Math.ceil(count / GROUP) !== groups) continue;
      for (const form of FORMS) {
        const names = readNames(view, table, { start, end: markers, count, markers, size, form });
        if (names) return { count, countAt, markerSize: size, names };
      }
    }
  }
  return undefined;
}

interface Place {
  readonly start: number;
  /** Where the names end, but for what aligns the markers. */
  readonly end: number;
  readonly count: number;
  readonly markers: number;
  readonly size: number;
  readonly form: LengthForm;
}

function readNames(view: DataView, { tokens }: TokenTable, place: Place): string[] | undefined {
  const { start, end, count, markers, size, form } = place;
  // First whether the last group ends where the markers begin: of many wrong places nearly all fail here.
  const lastGroup = Math.floor((count - 1) / GROUP);
  let at = start + view.getUint32(markers + size * lastGroup, true);
  for (let i = lastGroup * GROUP; i < count && at < end; i++) at += nameLength(view, at, form).next;
  if (at > end || end - at >= MOST_PADDING) return undefined;
  const names: string[] = [];
  let text = 0;
  at = start;
  for (let i = 0; i < count; i++) {
    if (i % GROUP === 0 && at !== start + view.getUint32(markers + (size * i) / GROUP, true)) return undefined;
    const { first, next } = nameLength(view, at, form);
    if (next === first || at + next > end) return undefined;
    let name = '';
    for (let k = at + first; k < at + next; k++) name += tokens[view.getUint8(k)]!;
    text += name.length;
    if (name.length > LONGEST_TEXT || text > MOST_TEXT) return undefined;
    const letter = name.charCodeAt(0) | 0x20;
    if (letter < 0x61 || letter > 0x7a) return undefined;
    names.push(name);
    at += next;
  }
  return names;
}

/** Bytes from the length at `at` to the first token, and to the next length. */
function nameLength(view: DataView, at: number, form: LengthForm): { first: number; next: number } {
  const length = view.getUint8(at);
  if (form === 'byte' || length < 0x80) return { first: 1, next: 1 + length };
  return { first: 2, next: 2 + ((length & 0x7f) | (view.getUint8(at + 1) << 7)) };
}
