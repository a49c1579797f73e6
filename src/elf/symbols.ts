/** Symbol tables (gABI, Symbol Table). */
import { InputError } from '../errors.js';
import { type ElfSection, sectionPlace } from './file.js';
import { BINDINGS, SHN, SHT, SYM_SIZE, TYPES } from './format.js';
import { StringTable } from './strings.js';

export type ElfBinding = keyof typeof BINDINGS;
export type ElfSymbolType = keyof typeof TYPES;

export interface ElfSymbol {
  readonly index: number;
  readonly name: string;
  /** An offset in its section (relocatable), an address (executable), a number (absolute) or an alignment (common). */
  readonly value: bigint;
  readonly size: bigint;
  readonly binding: ElfBinding;
  readonly type: ElfSymbolType;
  /** Index of a section that exists, or where else it belongs. */
  readonly section: number | 'undefined' | 'absolute' | 'common';
}

const byNumber = <T extends string>(table: Readonly<Record<T, number>>): readonly (T | undefined)[] => {
  const names: T[] = [];
  for (const name of Object.keys(table) as T[]) names[table[name]] = name;
  return names;
};

const BINDING_NAMES = byNumber(BINDINGS);
const TYPE_NAMES = byNumber(TYPES);

/** The number of entries of a table; refuses one whose entries have another size, or that does not hold a whole number of them. */
export function entries(place: string, section: ElfSection, entrySize: number): number {
  if (section.entrySize !== entrySize) {
    throw new InputError(
      `${place}: the entry size is ${section.entrySize}, not ${entrySize}; the file is damaged, make it anew`,
    );
  }
  if (section.data.length % entrySize !== 0) {
    throw new InputError(
      `${place}: the size, 0x${section.size.toString(16)}, is no multiple of the entry size ${entrySize}; the file is cut off or damaged, make it anew`,
    );
  }
  return section.data.length / entrySize;
}

/** The section that sh_link names, which must be of type `type`; `what` says what it is to hold. */
export function linked(
  place: string,
  sections: readonly ElfSection[],
  index: number,
  type: number,
  what: string,
): ElfSection {
  const section = sections[index];
  if (section?.type === type) return section;
  throw new InputError(
    section
      ? `${place}: section ${index}, which its header links to, is not ${what}; the file is damaged, make it anew`
      : `${place}: its header links to section ${index}, but there are ${sections.length}; the file is damaged, make it anew`,
  );
}

/** The symbols of `.symtab`, empty if there is none. */
export function readSymbols(file: string, sections: readonly ElfSection[]): ElfSymbol[] {
  const tables = sections.filter((section) => section.type === SHT.SYMTAB);
  const [table, second] = tables;
  if (!table) return [];
  if (second) {
    throw new InputError(`${sectionPlace(file, second)}: is a second symbol table; the file is damaged, make it anew`);
  }
  const place = sectionPlace(file, table);
  const count = entries(place, table, SYM_SIZE);
  const text = linked(place, sections, table.link, SHT.STRTAB, 'a string table');
  const names = new StringTable(text.data, sectionPlace(file, text));
  const extended = sections.find((section) => section.type === SHT.SYMTAB_SHNDX && section.link === table.index);
  const extendedIndex = (i: number): number => {
    if (!extended || extended.data.length < 4 * (i + 1)) {
      throw new InputError(
        `${place}: the section index of symbol ${i} is in a table (SYMTAB_SHNDX) that ${extended ? 'does not reach so far' : 'the file does not have'}; the file is damaged, make it anew`,
      );
    }
    const { buffer, byteOffset } = extended.data;
    return new DataView(buffer, byteOffset).getUint32(4 * i, true);
  };
  const { data } = table;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const symbols: ElfSymbol[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * SYM_SIZE;
    const info = view.getUint8(at + 4);
    const where = `symbol ${i} at offset 0x${at.toString(16)}`;
    const binding = BINDING_NAMES[info >> 4];
    const type = TYPE_NAMES[info & 15];
    if (binding === undefined || type === undefined) {
      throw new InputError(
        `${place}: ${where} has the ${binding === undefined ? `binding ${info >> 4}` : `type ${info & 15}`}, which is not known; the file is damaged, make it anew`,
      );
    }
    const named = view.getUint16(at + 6, true);
    let section: ElfSymbol['section'];
    if (named === SHN.UNDEF) section = 'undefined';
    else if (named === SHN.ABS) section = 'absolute';
    else if (named === SHN.COMMON) section = 'common';
    else {
      section = named === SHN.XINDEX ? extendedIndex(i) : named;
      if (section >= sections.length || (named >= SHN.LORESERVE && named !== SHN.XINDEX)) {
        throw new InputError(
          `${place}: ${where} lies in section ${section}, but there are ${sections.length}; the file is damaged, make it anew`,
        );
      }
    }
    symbols.push({
      index: i,
      name: names.at(view.getUint32(at, true), `symbol ${i}`),
      value: view.getBigUint64(at + 8, true),
      size: view.getBigUint64(at + 16, true),
      ...{ binding, type, section },
    });
  }
  return symbols;
}
