/** Sections while they are being filled: fragments of fixed bytes, each ended by something whose size is not known yet. */
import type { Expression } from './expression.js';
import type { Place } from './source.js';

/** How a field is filled: absolute (zero- or sign-extended), or relative to its own address. */
export type FieldKind = 'abs' | 'abs32s' | 'pc' | 'plt';

/** A field whose value is known only at the end. */
export interface Fixup {
  /** Bytes from the start of the fragment. */
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
  readonly kind: FieldKind;
  readonly expression: Expression;
  /** Added to the expression: for a PC-relative operand, minus the distance from the field to the instruction's end. */
  readonly adjust: bigint;
  readonly place: Place;
}

/** An instruction's place, for the line map. */
export interface InstructionMark {
  readonly fragment: Fragment;
  readonly offset: number;
  readonly place: Place;
  readonly text: string;
}

/** A jump whose size depends on the distance. Sizes in bytes; the displacement is the last field of either form. */
export interface BranchTail {
  readonly kind: 'branch';
  readonly target: Expression;
  readonly short: Uint8Array;
  readonly near: Uint8Array;
  readonly place: Place;
  /** True once it has to be the near form. */
  grown: boolean;
  /** The target is in another section, undefined, weak or a number: near form and a relocation. */
  external: boolean;
}

export interface AlignTail {
  readonly kind: 'align';
  /** Bytes, a power of two. */
  readonly alignment: number;
  /** Fill pattern; undefined: NOPs. */
  readonly fill: Uint8Array | undefined;
  /** Skip the alignment if it would take more bytes than this; 0: no limit. */
  readonly max: number;
  readonly place: Place;
}

export interface OrgTail {
  readonly kind: 'org';
  readonly target: Expression;
  readonly fill: number;
  readonly place: Place;
}

export interface SpaceTail {
  readonly kind: 'space';
  readonly count: Expression;
  readonly fill: Uint8Array;
  readonly place: Place;
}

/** `.nops`: so many bytes of NOPs, each of at most `longest` bytes. */
export interface NopsTail {
  readonly kind: 'nops';
  readonly count: Expression;
  readonly longest: number;
  readonly place: Place;
}

/** `.uleb128` and `.sleb128` of a value that depends on sizes. */
export interface LebTail {
  readonly kind: 'leb';
  readonly value: Expression;
  readonly signed: boolean;
  readonly place: Place;
}

export type Tail = BranchTail | AlignTail | OrgTail | SpaceTail | NopsTail | LebTail;

export class Fragment {
  /** Fixed bytes: `section.bytes` from `start`, `length` of them. */
  length = 0;
  tail: Tail | undefined;
  /** Size of what `tail` stands for, in bytes: changes while relaxing. */
  tailSize = 0;
  /** Offset into the section: changes while relaxing. */
  address = 0;
  readonly fixups: Fixup[] = [];
  /** Position in the section's list, and the count of alignments and origins before it (set when laying out). */
  index = 0;
  region = 0;

  constructor(
    readonly section: Section,
    readonly part: Part,
    readonly start: number,
  ) {}
}

/** A subsection (`.text 1`): its fragments and its raw bytes. */
export class Part {
  bytes = new Uint8Array(256);
  used = 0;
  readonly fragments: Fragment[] = [];

  reserve(count: number): void {
    if (this.used + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.used + count));
    larger.set(this.bytes.subarray(0, this.used));
    this.bytes = larger;
  }
}

export interface SectionFlags {
  readonly alloc: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  /** No contents in the file (.bss). */
  readonly nobits: boolean;
  readonly merge: boolean;
}

/** A number in groups of seven bits (DWARF 5, section 7.6). */
export function leb128(value: bigint, signed: boolean): Uint8Array {
  const bytes: number[] = [];
  let rest = signed ? value : BigInt.asUintN(64, value);
  for (;;) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    const done = signed ? (rest === 0n && (byte & 0x40) === 0) || (rest === -1n && (byte & 0x40) !== 0) : rest === 0n;
    bytes.push(done ? byte : byte | 0x80);
    if (done) return Uint8Array.from(bytes);
  }
}

/** A section larger than this is a mistake (`.org` or `.skip` of an address). Bytes. */
export const SECTION_LIMIT = 64 * 1024 * 1024;

export class Section {
  align = 1;
  readonly parts = new Map<number, Part>();
  readonly marks: InstructionMark[] = [];
  /** The group or the linked section that it was made for (`G`, `o`), as written; empty: none. Undefined before `.section`. */
  attachedTo: string | undefined;
  /** Something was put into it or it was asked for by name. */
  touched = false;

  constructor(
    readonly name: string,
    readonly flags: SectionFlags,
  ) {}

  /** The open (last) fragment of a subsection. */
  open(subsection: number): Fragment {
    let part = this.parts.get(subsection);
    if (!part) {
      part = new Part();
      this.parts.set(subsection, part);
      part.fragments.push(new Fragment(this, part, 0));
    }
    return part.fragments[part.fragments.length - 1]!;
  }

  /** All fragments, in the order of the subsections' numbers. */
  fragments(): Fragment[] {
    return [...this.parts.entries()].sort(([a], [b]) => a - b).flatMap(([, part]) => part.fragments);
  }
}

/** Names that imply flags. */
const NAMED: readonly (readonly [name: RegExp, flags: string, nobits?: boolean])[] = [
  [/^\.text(\..*)?$/, 'ax'],
  [/^\.(init|fini)$/, 'ax'],
  [/^\.(init|fini|preinit)_array(\..*)?$/, 'aw'],
  [/^\.(data1|(data|tdata)(\..*)?)$/, 'aw'],
  [/^\.(bss|tbss)(\..*)?$/, 'aw', true],
  [/^\.(rodata1|rodata(\..*)?)$/, 'a'],
];

/** Flags of a section: as written (`"awx"`), else those that its name implies; a name that implies nothing has none. */
export function sectionFlags(name: string, letters: string | undefined, type: string | undefined): SectionFlags {
  const known = NAMED.find(([pattern]) => pattern.test(name));
  const set = letters ?? known?.[1] ?? '';
  return {
    alloc: set.includes('a'),
    write: set.includes('w'),
    exec: set.includes('x'),
    merge: set.includes('M'),
    nobits: type === undefined ? known?.[2] === true : type === 'nobits',
  };
}
