/** A relocatable module: what the assembler (or an object file) yields and what the linker lays out in memory. */

import type { LineMap } from './line_map.js';

/** A place in a source file; lines and columns count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column?: number;
}

/** One row of the line map: the instruction at `offset` (bytes into the section) comes from `position`. */
export interface LineRow {
  readonly offset: number;
  /** The place the instruction's text stands at: inside a macro, the line of the macro's body. */
  readonly position: SourcePosition;
  /** Outermost first: the lines that invoked the macros which produced this instruction; empty outside macros. */
  readonly expandedFrom: readonly SourcePosition[];
  /** The source text, macro arguments filled in; empty where only the place is known. */
  readonly text: string;
}

/**
 * Relocation fields: `absN` stores the symbol's address (`abs32s`: must fit as a signed number), `pcN` stores it
 * relative to the field's own address. `addend` follows ELF RELA: value = symbol + addend (− field address for `pcN`).
 */
export type RelocationKind =
  | 'abs64'
  | 'abs32'
  | 'abs32s'
  | 'abs16'
  | 'abs8'
  | 'pc64'
  | 'pc32'
  | 'plt32'
  | 'pc16'
  | 'pc8';

export interface Relocation {
  readonly offset: number;
  readonly kind: RelocationKind;
  readonly symbol: string;
  readonly addend: bigint;
  readonly position?: SourcePosition;
}

export interface ModuleSection {
  /** Unique in its module: where a file has several sections of one name, the others are called `name#2`, `name#3` … */
  readonly name: string;
  /** Bytes; for a section without contents (.bss) `data` is empty and `size` says how large it is. */
  readonly data: Uint8Array;
  readonly size: number;
  readonly align: number;
  readonly alloc: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  /** Of an executable: where the section lies. The linker leaves it there. */
  readonly address?: bigint;
  /** Signature of the group that it is in (ELF's COMDAT): of the groups of one signature only one is linked. */
  readonly group?: string;
  /** Memory for one symbol that other modules may have as well (ELF's COMMON): only one is linked, the largest. */
  readonly common?: boolean;
  readonly relocations: readonly Relocation[];
  readonly lines: readonly LineRow[];
  /** Of an executable, which the linker gives no rows. */
  readonly lineMap?: LineMap | undefined;
}

/** The name that a section has in its file. */
export function plainName(section: string): string {
  return section.replace(/#\d+$/, '');
}

export type SymbolBinding = 'local' | 'global' | 'weak';
export type SymbolType = 'notype' | 'func' | 'object' | 'section';

export interface ModuleSymbol {
  readonly name: string;
  /** Name of the section, or 'absolute' (value is a number), or 'undefined'. */
  readonly section: string;
  /** Offset into the section, or the number itself for an absolute symbol. */
  readonly value: bigint;
  readonly size: bigint;
  readonly binding: SymbolBinding;
  readonly type: SymbolType;
  /** Where it is defined or, if it is undefined, first used. */
  readonly position?: SourcePosition;
  /** For an undefined symbol: whether each use of it is the target of a CALL or JMP (then a stand-in may take its place). */
  readonly calledOnly?: boolean;
}

export interface Module {
  /** The file it was made from. */
  readonly name: string;
  readonly sections: readonly ModuleSection[];
  readonly symbols: readonly ModuleSymbol[];
  /** Every file that was read, and its text: for listings, and for the image's hash. */
  readonly sources: ReadonlyMap<string, string>;
  /** What made it from source text, as it is to be printed; undefined for what came as an object or an executable. */
  readonly assembler?: string;
}
