/** An image: modules linked to addresses; what the machine loads and what people's names for addresses come from. */
import { createHash } from 'node:crypto';
import { lastAt } from '../binary_search.js';
import { instructionOffsets, instructionText, MAX_INSTRUCTION } from './instructions.js';
import { type LineMap, positionAt } from './line_map.js';
import type { LineRow, ModuleSymbol } from './module.js';
import { SymbolIndex } from './symbol_index.js';

/** Memory that a section goes to. */
export type Segment = 'text' | 'rodata' | 'data' | 'user-text' | 'user-data' | 'percpu' | 'smm-text';

export interface PlacedSection {
  readonly name: string;
  /** Name of the module it came from. */
  readonly module: string;
  readonly segment: Segment;
  /** The address that symbols in it have. */
  readonly address: bigint;
  /** Where its bytes are loaded: differs from `address` for per-CPU data only, which is linked at 0. */
  readonly loadAddress: bigint;
  /** Relocated bytes; shorter than `size` when the rest is zero. */
  readonly data: Uint8Array;
  readonly size: number;
  /** One for each instruction; none where the file has no line map. */
  readonly lines: readonly LineRow[];
  /** Where code without rows comes from. */
  readonly lineMap?: LineMap | undefined;
  /** Of an executable: not moved by the linker, and with no relocation left. */
  readonly fixed: boolean;
}

export interface ImageSymbol extends ModuleSymbol {
  readonly module: string;
  readonly address: bigint;
}

/** An address as people write it: `label+n`, n instructions after the label. */
export interface Location {
  readonly label: string;
  readonly instructions: number;
  readonly line: LineRow | undefined;
}

export class Image {
  /** A field of its own: it goes into threads with the image's data. */
  readonly symbols: readonly ImageSymbol[];
  readonly #index: SymbolIndex;
  #hash: string | undefined;

  constructor(
    readonly sections: readonly PlacedSection[],
    symbols: readonly ImageSymbol[] | SymbolIndex,
    /** Names of the modules that are the code under test (not the context, stand-ins or platform defaults). */
    readonly tested: readonly string[],
    readonly sources: ReadonlyMap<string, string>,
  ) {
    this.#index = symbols instanceof SymbolIndex ? symbols : new SymbolIndex(symbols);
    this.symbols = this.#index.symbols;
  }

  /** The same image with other bytes. */
  withSections(sections: readonly PlacedSection[]): Image {
    return new Image(sections, this.#index, this.tested, this.sources);
  }

  /** Symbols that every module can see, by name. */
  get globals(): ReadonlyMap<string, ImageSymbol> {
    return this.#index.globals;
  }

  /** SHA-256 of what is executed: the sections' addresses and bytes. */
  get hash(): string {
    if (this.#hash === undefined) {
      const hash = createHash('sha256');
      for (const s of this.sections) hash.update(`${s.name} ${s.address.toString(16)} ${s.size}\n`).update(s.data);
      this.#hash = hash.digest('hex');
    }
    return this.#hash;
  }

  /** The section that an address lies in. */
  sectionAt(address: bigint): PlacedSection | undefined {
    return this.sections.find((s) => address >= s.address && address < s.address + BigInt(s.size));
  }

  /** The nearest label at or before an address, and how many instructions lie between. */
  locate(address: bigint): Location | undefined {
    const section = this.sectionAt(address);
    if (!section || section.segment === 'percpu') return undefined;
    const offset = Number(address - section.address);
    const label = this.#labelAt(section, address);
    const from = label ? Number(label.address - section.address) : 0;
    return {
      label: label?.name ?? section.name,
      instructions: this.#starts(section, from, offset).length,
      line: this.#lineAt(section, offset),
    };
  }

  /** The line of an instruction: that of the line map, with the text that only the linked bytes have where the source is not known. */
  #lineAt(section: PlacedSection, offset: number): LineRow | undefined {
    const row = lineAt(section, offset);
    const isCode = section.segment === 'text' || section.segment === 'user-text' || section.segment === 'smm-text';
    if (row ? row.text !== '' : section.lines.length > 0 || !isCode || offset >= section.data.length) return row;
    const known = section.lineMap && positionAt(section.lineMap, offset);
    const target = (address: bigint): string => this.name(address).replace(/\+0$/, '');
    return {
      ...(row ?? { offset, position: known ?? { file: section.module, line: 0 }, expandedFrom: [] }),
      text: instructionText(section.data, offset, section.address + BigInt(offset), target),
    };
  }

  /** The last label of the section at or before an address; of several at one address, the one that is printed. */
  #labelAt(section: PlacedSection, address: bigint): ImageSymbol | undefined {
    const list = this.#index.labelsOf(section.module, section.name);
    let at = lastAt(list.length, (i) => list[i]!.address <= address);
    while (at > 0 && list[at - 1]!.address === list[at]!.address) at--;
    return list[at];
  }

  /** Offsets of the section's instructions from `from` up to, and not including, `to`. */
  #starts(section: PlacedSection, from: number, to: number): number[] {
    if (section.lines.length > 0) {
      const first = lastAt(section.lines.length, (i) => section.lines[i]!.offset < from) + 1;
      const offsets: number[] = [];
      for (let i = first; i < section.lines.length && section.lines[i]!.offset < to; i++) {
        offsets.push(section.lines[i]!.offset);
      }
      return offsets;
    }
    // Each label begins an instruction, whatever lies before it.
    const list = this.#index.labelsOf(section.module, section.name);
    const offsets: number[] = [];
    for (let at = from, i = lastAt(list.length, (k) => offsetOf(section, list[k]!) <= from) + 1; at < to; i++) {
      const stop = Math.min(to, i < list.length ? offsetOf(section, list[i]!) : to);
      for (const offset of instructionOffsets(section.data, at, stop)) offsets.push(offset);
      at = stop;
    }
    return offsets;
  }

  /**
   * The addresses of a section's instructions from `from` on, up to and not including `to`. Without a line map, `from` must be the
   * address of an instruction.
   */
  instructions(section: PlacedSection, from: bigint, to: bigint): bigint[] {
    const offset = (address: bigint): number => Number(address - section.address);
    return this.#starts(section, offset(from), offset(to)).map((at) => section.address + BigInt(at));
  }

  /** `label+n` for an address; the bare address in hexadecimal where the image has no code. */
  name(address: bigint): string {
    const location = this.locate(address);
    return location ? `${location.label}+${location.instructions}` : `0x${address.toString(16)}`;
  }

  /** The names that boundaries can have. */
  get labels(): string[] {
    return this.#index.labels;
  }

  /** The symbol a name means: a global one, or the only local one of that name. */
  find(name: string): ImageSymbol | undefined {
    const global = this.globals.get(name);
    if (global) return global;
    return this.#index.locals.get(name);
  }

  /**
   * The address that `label`, `label+n` (n instructions after it) or `0x…` stands for; undefined when there is no such
   * label, or not so many instructions after it.
   */
  resolve(text: string): bigint | undefined {
    const number = /^0x[0-9a-f]+$/i.exec(text);
    if (number) return BigInt(text);
    const match = /^([^+]+?)(?:\+(\d+))?$/.exec(text.trim());
    const symbol = match && this.find(match[1]!);
    if (!match || !symbol) return undefined;
    const count = Number(match[2] ?? 0);
    if (count === 0) return symbol.address;
    const section = this.sectionAt(symbol.address);
    if (!section) return undefined;
    const from = Number(symbol.address - section.address);
    const end = Math.min(section.size, section.lines.length > 0 ? section.size : from + MAX_INSTRUCTION * (count + 1));
    const offset = this.#starts(section, from, end)[count];
    return offset === undefined ? undefined : section.address + BigInt(offset);
  }
}

function offsetOf(section: PlacedSection, symbol: ImageSymbol): number {
  return Number(symbol.address - section.address);
}

function lineAt(section: PlacedSection, offset: number): LineRow | undefined {
  const row = section.lines[lastAt(section.lines.length, (i) => section.lines[i]!.offset <= offset)];
  return row?.offset === offset ? row : undefined;
}
