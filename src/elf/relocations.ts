/** Relocations (gABI, Relocation; psABI 4.4.1), read for one section at a time. */
import { InputError } from '../errors.js';
import { type ElfSection, sectionPlace } from './file.js';
import { RELA_SIZE, SHF, SHT } from './format.js';
import { type ElfSymbol, entries, linked } from './symbols.js';

export interface ElfRelocation {
  /** In the section that is relocated. Bytes. */
  readonly offset: number;
  /** R_X86_64_…: `format.ts`. */
  readonly type: number;
  readonly symbol: ElfSymbol;
  readonly addend: bigint;
}

export class RelocationTables {
  readonly #byTarget = new Map<number, ElfSection[]>();
  readonly #read = new Map<number, readonly ElfRelocation[]>();

  /** `offsets`: r_offset counts from the section's begin (relocatable file), not from address 0. */
  constructor(
    private readonly file: string,
    private readonly sections: readonly ElfSection[],
    private readonly symbols: readonly ElfSymbol[],
    private readonly offsets: boolean,
  ) {
    for (const table of sections) {
      if (table.type !== SHT.RELA && table.type !== SHT.REL) continue;
      // sh_info of a table for the dynamic linker names no section.
      if ((table.flags & SHF.ALLOC) !== 0) continue;
      const place = sectionPlace(file, table);
      if (table.info === 0 || table.info >= sections.length) {
        throw new InputError(
          `${place}: relocates section ${table.info}, but there are ${sections.length}; the file is damaged, make it anew`,
        );
      }
      if (table.type === SHT.REL) {
        throw new InputError(
          `${place}: its relocations have no addends (REL), which x86-64 does not use (psABI 4.4); make the object anew`,
        );
      }
      const tables = this.#byTarget.get(table.info);
      if (tables) tables.push(table);
      else this.#byTarget.set(table.info, [table]);
    }
  }

  of(section: number): readonly ElfRelocation[] {
    const known = this.#read.get(section);
    if (known) return known;
    const tables = this.#byTarget.get(section) ?? [];
    const found = tables.flatMap((table) => this.#table(table, this.sections[section]!));
    this.#read.set(section, found);
    return found;
  }

  #table(table: ElfSection, target: ElfSection): ElfRelocation[] {
    const place = sectionPlace(this.file, table);
    const count = entries(place, table, RELA_SIZE);
    if (count > 0) linked(place, this.sections, table.link, SHT.SYMTAB, 'a symbol table');
    const { data } = table;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const start = this.offsets ? 0n : target.address;
    const found: ElfRelocation[] = [];
    // Offsets into a compressed section are offsets into what it unpacks to.
    const isPacked = (target.flags & SHF.COMPRESSED) !== 0;
    for (let i = 0; i < count; i++) {
      const at = i * RELA_SIZE;
      const offset = view.getBigUint64(at, true) - start;
      if (offset < 0n || (!isPacked && offset >= BigInt(target.size)) || offset > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new InputError(
          `${place}: relocation ${i} at offset 0x${at.toString(16)} is for offset 0x${BigInt.asUintN(64, offset).toString(16)} of ${target.name}, which has 0x${target.size.toString(16)} bytes; the file is damaged, make it anew`,
        );
      }
      const symbol = this.symbols[view.getUint32(at + 12, true)];
      if (!symbol) {
        throw new InputError(
          `${place}: relocation ${i} at offset 0x${at.toString(16)} refers to symbol ${view.getUint32(at + 12, true)}, but there are ${this.symbols.length}; the file is damaged, make it anew`,
        );
      }
      found.push({
        offset: Number(offset),
        type: view.getUint32(at + 8, true),
        symbol,
        addend: view.getBigInt64(at + 16, true),
      });
    }
    return found;
  }
}
