/** What an ELF file holds, as it has been read. */
import type { ElfRelocation } from './relocations.js';
import type { ElfGroup } from './section_groups.js';
import type { ElfSymbol } from './symbols.js';

export type ElfType = 'relocatable' | 'executable' | 'shared';

export interface ElfSection {
  readonly index: number;
  /** Need not be unique. */
  readonly name: string;
  /** SHT_…, SHF_…: `format.ts`. */
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  /** In the file. Bytes. */
  readonly offset: number;
  readonly size: number;
  /** A power of two. */
  readonly align: number;
  /** Bytes of one entry, 0 where there are none. */
  readonly entrySize: number;
  readonly link: number;
  readonly info: number;
  /** A view of the file; empty for NOBITS. As stored: compressed if SHF_COMPRESSED. */
  readonly data: Uint8Array;
}

export interface ElfProgram {
  /** PT_… */
  readonly type: number;
  /** Bit 0 executable, 1 writable, 2 readable. */
  readonly flags: number;
  readonly offset: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly fileSize: number;
  readonly memorySize: bigint;
  readonly data: Uint8Array;
}

export interface ElfFile {
  /** As it was named. */
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly type: ElfType;
  readonly entry: bigint;
  /** By their index; the one at 0 is empty. Empty if the file has none. */
  readonly sections: readonly ElfSection[];
  readonly programs: readonly ElfProgram[];
  /** Those of `.symtab` by their index; the one at 0 is empty. Empty if it has been stripped. */
  readonly symbols: readonly ElfSymbol[];
  readonly groups: readonly ElfGroup[];
  /** The relocations of a section, by its index: read when they are asked for. */
  relocationsOf(section: number): readonly ElfRelocation[];
}

/** `file: section .text (3)`: how messages name a section. */
export function sectionPlace(file: string, section: Pick<ElfSection, 'name' | 'index'>): string {
  return `${file}: section ${section.name === '' ? section.index : `${section.name} (${section.index})`}`;
}
