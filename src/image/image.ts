/** An image: modules linked to addresses; what the machine loads and what people's names for addresses come from. */
import { createHash } from 'node:crypto';
import type { LineRow, ModuleSymbol } from './module.js';

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
  readonly lines: readonly LineRow[];
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
  /** Symbols that every module can see, by name. */
  readonly globals: ReadonlyMap<string, ImageSymbol>;
  /** SHA-256 of what is executed: the sections' addresses and bytes. */
  readonly hash: string;
  readonly #labels: ReadonlyMap<PlacedSection, readonly ImageSymbol[]>;

  constructor(
    readonly sections: readonly PlacedSection[],
    readonly symbols: readonly ImageSymbol[],
    /** Names of the modules that are the code under test (not the context, stand-ins or platform defaults). */
    readonly tested: readonly string[],
    readonly sources: ReadonlyMap<string, string>,
  ) {
    const globals = new Map<string, ImageSymbol>();
    for (const symbol of symbols) {
      if (symbol.binding === 'local') continue;
      const known = globals.get(symbol.name);
      if (!known || (known.binding === 'weak' && symbol.binding === 'global')) globals.set(symbol.name, symbol);
    }
    this.globals = globals;
    // A label must lead back to its address: one that lost to another symbol of its name, or shares it, is none.
    const locals = new Map<string, number>();
    for (const s of symbols) if (s.binding === 'local') locals.set(s.name, (locals.get(s.name) ?? 0) + 1);
    const found = (s: ImageSymbol): boolean =>
      s.binding === 'local' ? !globals.has(s.name) && locals.get(s.name) === 1 : globals.get(s.name) === s;
    const labels = new Map<PlacedSection, ImageSymbol[]>();
    for (const section of sections) {
      labels.set(
        section,
        symbols
          .filter((s) => s.module === section.module && s.section === section.name && isLabel(s) && found(s))
          .sort((a, b) => (a.address === b.address ? preference(a) - preference(b) : a.address < b.address ? -1 : 1)),
      );
    }
    this.#labels = labels;
    const hash = createHash('sha256');
    for (const s of sections) hash.update(`${s.name} ${s.address.toString(16)} ${s.size}\n`).update(s.data);
    this.hash = hash.digest('hex');
  }

  sectionAt(address: bigint): PlacedSection | undefined {
    return this.sections.find((s) => address >= s.address && address < s.address + BigInt(s.size));
  }

  /** The nearest label at or before an address, and how many instructions lie between. */
  locate(address: bigint): Location | undefined {
    const section = this.sectionAt(address);
    if (!section || section.segment === 'percpu') return undefined;
    const offset = Number(address - section.address);
    let label: ImageSymbol | undefined;
    for (const symbol of this.#labels.get(section)!) {
      if (symbol.address > address) break;
      if (label?.address !== symbol.address) label = symbol;
    }
    const from = label ? Number(label.address - section.address) : 0;
    const instructions = section.lines.filter((row) => row.offset >= from && row.offset < offset).length;
    return {
      label: label?.name ?? section.name,
      instructions,
      line: section.lines.find((row) => row.offset === offset),
    };
  }

  /** `label+n` for an address; the bare address in hexadecimal where the image has no code. */
  name(address: bigint): string {
    const location = this.locate(address);
    return location ? `${location.label}+${location.instructions}` : `0x${address.toString(16)}`;
  }

  /** The names that boundaries can have. */
  get labels(): string[] {
    return [...this.#labels.values()].flatMap((list) => list.map((s) => s.name));
  }

  /** The symbol a name means: a global one, or the only local one of that name. */
  find(name: string): ImageSymbol | undefined {
    const global = this.globals.get(name);
    if (global) return global;
    const local = this.symbols.filter((s) => s.name === name);
    return local.length === 1 ? local[0] : undefined;
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
    const rows = section.lines.filter((row) => row.offset >= from);
    const row = rows[count];
    return row && section.address + BigInt(row.offset);
  }
}

function isLabel(symbol: ImageSymbol): boolean {
  return symbol.type !== 'section' && !symbol.name.startsWith('.L');
}

/** Which of several labels at one address is printed: one that names what begins there, and an outer name first. */
function preference(symbol: ImageSymbol): number {
  return (symbol.name.endsWith('_end') ? 4 : 0) + (symbol.binding === 'local' ? 1 : 0);
}
