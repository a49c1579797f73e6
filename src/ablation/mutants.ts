/**
 * Mutants of an image: each differs from it in one respect, in place, so that every boundary keeps its name and every
 * range its ends. An instruction is removed by putting a NOP of its length there.
 */
import {
  Code,
  ConditionCode,
  Decoder,
  DecoderOptions,
  FlowControl,
  type Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
} from 'iced-x86';
import { NOPS } from '../assembler/nops.js';
import { InputError } from '../errors.js';
import type { Range } from '../hooks/triggers.js';
import type { Image, PlacedSection } from '../image/image.js';
import type { LineRow } from '../image/module.js';

/** Plain data, so that it can go to another process. */
export interface Mutant {
  /** What tells it apart from all others of the image: `remove nmi+3`, `constant nmi+2: 3 -> 2`. */
  readonly name: string;
  /** The source text of what is altered. */
  readonly text: string;
  /** The first altered byte. */
  readonly address: bigint;
  /** What stood there; the mutant applies to nothing else. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** For a swap, how many bytes the second instruction has: the boundary between the two moves there. */
  readonly middle: number | undefined;
}

/** An instruction of the code under test. */
interface Place {
  readonly section: PlacedSection;
  readonly row: LineRow;
  readonly address: bigint;
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly decoded: Instruction;
  /** What an operand in memory or an immediate looks like in the bytes. */
  readonly fields: { readonly displacement: Field | undefined; readonly immediate: Field | undefined };
}

interface Field {
  readonly offset: number;
  readonly size: number;
}

/** All mutants of the code under test, or of what of it lies in the ranges, in the order of their addresses. */
export function mutantsOf(image: Image, ranges: readonly Range[] | undefined): Mutant[] {
  const all = image.sections
    .filter((s) => s.segment === 'text' && image.tested.includes(s.module))
    .flatMap((section) => {
      // Nobody means each of the millions of instructions of an executable.
      if (section.fixed && ranges === undefined) {
        throw new InputError(`${section.module}: is an executable; name the code to alter with --only LABEL..LABEL`);
      }
      return section.fixed
        ? partsOf(section, ranges!).map((part) => placesOf(image, section, part))
        : [placesOf(image, section)];
    });
  const targets = new Set<bigint>(image.symbols.map((s) => s.address));
  for (const { decoded } of all.flat()) {
    if (decoded.isJccShortOrNear || decoded.isJmpShortOrNear) targets.add(decoded.nearBranchTarget);
  }
  const within = ({ address }: Place): boolean =>
    ranges === undefined || ranges.some((r) => address >= r.start && address < r.end);
  const mutants = all.flatMap((places) =>
    places.flatMap((place, i) => {
      if (!within(place)) return [];
      const next = places[i + 1];
      // What is jumped to keeps its place.
      const swappable = next && within(next) && !targets.has(next.address);
      return [...alterations(place), ...(swappable ? swap(place, next) : [])];
    }),
  );
  if (mutants.length === 0) throw new InputError('there is no instruction to alter; name other places with --only');
  return mutants;
}

/** The image with the mutant in it. An error if what it replaces is not there: a mutant that does not apply tests nothing. */
export function mutated(image: Image, mutant: Mutant): Image {
  const { address, before, after, middle } = mutant;
  const section = image.sectionAt(address);
  const offset = Number(address - (section?.address ?? 0n));
  const there = section?.data.subarray(offset, offset + before.length);
  if (!section || !there || !same(there, before) || same(before, after)) {
    throw new InputError(`the mutant '${mutant.name}' does not apply: the image has other code there`);
  }
  const data = section.data.slice();
  data.set(after, offset);
  const lines =
    middle === undefined
      ? section.lines
      : section.lines.flatMap((row, i, rows) => {
          // The two rows change places; what is between them moves.
          if (row.offset === offset) return [{ ...rows[i + 1]!, offset }];
          return rows[i - 1]?.offset === offset ? [{ ...rows[i - 1]!, offset: offset + middle }] : [row];
        });
  const sections = image.sections.map((s) => (s === section ? { ...section, data, lines } : s));
  return image.withSections(sections);
}

/** What of a section lies in the ranges. */
function partsOf(section: PlacedSection, ranges: readonly Range[]): Range[] {
  const end = section.address + BigInt(section.size);
  return ranges
    .map((r) => ({ start: r.start > section.address ? r.start : section.address, end: r.end < end ? r.end : end }))
    .filter((r) => r.start < r.end);
}

/** The instructions of a section, or of a part of it that begins with one. */
function placesOf(
  image: Image,
  section: PlacedSection,
  part: Range = { start: section.address, end: section.address + BigInt(section.size) },
): Place[] {
  const starts = image.instructions(section, part.start, part.end);
  return starts.flatMap((address, i) => {
    const row = image.locate(address)?.line;
    if (row === undefined) return [];
    const end = Number((starts[i + 1] ?? part.end) - section.address);
    const bytes = section.data.slice(row.offset, end);
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    decoder.ip = address;
    const decoded = decoder.decode();
    // Data among the code, and instructions written as data: left alone.
    if (decoded.code === Code.INVALID || decoded.length > bytes.length || /^\s*\.\w/.test(row.text)) return [];
    const offsets = decoder.getConstantOffsets(decoded);
    const fields = {
      displacement: offsets.hasDisplacement
        ? { offset: offsets.displacementOffset, size: offsets.displacementSize }
        : undefined,
      immediate: offsets.hasImmediate ? { offset: offsets.immediateOffset, size: offsets.immediateSize } : undefined,
    };
    const own = bytes.subarray(0, decoded.length);
    return [{ section, row, address, name: image.name(address), bytes: own, decoded, fields }];
  });
}

function alterations(place: Place): Mutant[] {
  const { decoded, bytes, fields } = place;
  const mutants: Mutant[] = [];
  const add = (what: string, after: Uint8Array): void => {
    if (!same(bytes, after)) mutants.push(mutantOf(place, what, after));
  };
  if (decoded.mnemonic !== Mnemonic.Nop) add(`remove ${place.name}`, nop(bytes.length));
  if (decoded.flowControl === FlowControl.ConditionalBranch && decoded.conditionCode !== ConditionCode.None) {
    add(`invert ${place.name}`, inverted(bytes));
    add(`take ${place.name}`, taken(bytes));
  }
  const sets = setsFlagsOnly(decoded) || decoded.mnemonic === Mnemonic.Mov;
  if (sets && fields.immediate) {
    const value = signed(bytes, fields.immediate);
    for (const other of otherConstants(decoded, value)) {
      const after = withSigned(bytes, fields.immediate, other);
      if (after) add(`constant ${place.name}: ${value} -> ${other}`, after);
    }
  }
  const addresses = setsFlagsOnly(decoded) || decoded.mnemonic === Mnemonic.Lea;
  if (addresses && fields.displacement && decoded.memoryBase !== Register.RIP && decoded.memoryBase !== Register.None) {
    const value = signed(bytes, fields.displacement);
    for (const other of [value - 8n, value + 8n]) {
      const after = withSigned(bytes, fields.displacement, other);
      if (after) add(`displacement ${place.name}: ${value} -> ${other}`, after);
    }
  }
  return mutants;
}

function setsFlagsOnly({ mnemonic }: Instruction): boolean {
  return mnemonic === Mnemonic.Cmp || mnemonic === Mnemonic.Test || mnemonic === Mnemonic.Bt;
}

/** What a constant is changed to: its neighbours for a comparison; for a test of bits, without one of them, or another one. */
function otherConstants({ mnemonic }: Instruction, value: bigint): bigint[] {
  if (mnemonic === Mnemonic.Mov) return [value ^ 1n];
  if (mnemonic !== Mnemonic.Test) return [value - 1n, value + 1n];
  const bits: bigint[] = [];
  for (let bit = 1n; bit <= value; bit <<= 1n) if (value & bit) bits.push(bit);
  const lowest = bits[0] ?? 1n;
  return [...new Set([...(bits.length > 1 ? bits.map((bit) => value & ~bit) : [0n]), lowest << 1n])];
}

/** The two instructions in the other order, where at least one of them stores and neither branches. */
function swap(first: Place, second: Place): Mutant[] {
  const { section, row, address } = first;
  const adjacent = second.section === section && second.row.offset === row.offset + first.bytes.length;
  if (!adjacent || branches(first.decoded) || branches(second.decoded)) return [];
  if (!stores(first.decoded) && !stores(second.decoded)) return [];
  const moved = [shifted(second, -BigInt(first.bytes.length)), shifted(first, BigInt(second.bytes.length))];
  const before = Uint8Array.from([...first.bytes, ...second.bytes]);
  const after = Uint8Array.from(moved.flatMap((bytes) => [...bytes]));
  if (same(before, after)) return [];
  return [
    {
      name: `swap ${first.name} and ${second.name}`,
      text: `${oneLine(first.row.text)}; ${oneLine(second.row.text)}`,
      address,
      before,
      after,
      middle: second.bytes.length,
    },
  ];
}

function branches({ flowControl }: Instruction): boolean {
  return flowControl !== FlowControl.Next;
}

const factory = new InstructionInfoFactory();

function stores(instruction: Instruction): boolean {
  const info = factory.info(instruction);
  const writes = info.usedMemory().some((m) => m.access === OpAccess.Write || m.access === OpAccess.ReadWrite);
  // STD and CLD, MSRs and control registers are seen by an event as a store is.
  return (
    writes ||
    instruction.mnemonic === Mnemonic.Std ||
    instruction.mnemonic === Mnemonic.Cld ||
    isPrivilegedWrite(instruction)
  );
}

function isPrivilegedWrite(instruction: Instruction): boolean {
  const { mnemonic } = instruction;
  if (mnemonic === Mnemonic.Wrmsr || mnemonic === Mnemonic.Swapgs) return true;
  return (
    mnemonic === Mnemonic.Mov &&
    instruction.op0Kind === OpKind.Register &&
    instruction.op0Register >= Register.CR0 &&
    instruction.op0Register <= Register.DR15
  );
}

/** The instruction's bytes at a place so many bytes further on: what it addresses by RIP stays the same. */
function shifted({ bytes, decoded, fields }: Place, by: bigint): Uint8Array {
  if (decoded.memoryBase !== Register.RIP || !fields.displacement) return bytes;
  return withSigned(bytes, fields.displacement, signed(bytes, fields.displacement) - by)!;
}

function mutantOf({ row, address, bytes }: Place, name: string, after: Uint8Array): Mutant {
  return { name, text: oneLine(row.text), address, before: bytes, after, middle: undefined };
}

/** The NOP with SIB byte and 32-bit displacement; a longer one has more prefixes. Bytes. */
const MOST_OPERANDS = 8;

/** One instruction that does nothing, of 1 to 15 bytes: what pads code, with operand-size prefixes before it. */
export function nop(length: number): Uint8Array {
  const base = NOPS[Math.min(length, MOST_OPERANDS)]!;
  return Uint8Array.from([...Array.from({ length: length - base.length }, () => 0x66), ...base]);
}

/** Bit 0 of a conditional branch's opcode negates its condition (SDM vol. 2, Jcc). */
function inverted(bytes: Uint8Array): Uint8Array {
  const after = bytes.slice();
  after[opcodeAt(bytes)]! ^= 1;
  return after;
}

/** The unconditional branch of the same length. */
function taken(bytes: Uint8Array): Uint8Array {
  const after = bytes.slice();
  const at = opcodeAt(bytes);
  if (at === 0) after[0] = 0xeb;
  // JMP rel32 is a byte shorter: a segment prefix, which it ignores, keeps its end and so its target.
  else after.set([0x2e, 0xe9]);
  return after;
}

/** Where the opcode with the condition is: 7x, or 0F 8x. */
function opcodeAt(bytes: Uint8Array): number {
  const at = bytes[0] === 0x0f ? 1 : 0;
  const high = bytes[at]! & 0xf0;
  if (high !== (at === 0 ? 0x70 : 0x80)) throw new InputError('a conditional branch with prefixes cannot be altered');
  return at;
}

function signed(bytes: Uint8Array, { offset, size }: Field): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[offset + i]!);
  return BigInt.asIntN(8 * size, value);
}

/** Undefined if the value does not fit. */
function withSigned(bytes: Uint8Array, { offset, size }: Field, value: bigint): Uint8Array | undefined {
  if (BigInt.asIntN(8 * size, value) !== value) return undefined;
  const after = bytes.slice();
  for (let i = 0; i < size; i++) after[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return after;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
