/**
 * Reads ELF64 files for x86-64: headers, sections, symbols, relocations, groups. Nothing is copied: contents are views of
 * the file. Everything that the file says is checked before it is used, so that a damaged one gives an InputError.
 *
 * Source: gABI, edition 4.1, chapters 4 and 5 (see `format.ts`).
 */
import { InputError } from '../errors.js';
import { slices } from './elfy.js';
import { type ElfFile, type ElfProgram, type ElfSection, type ElfType, sectionPlace } from './file.js';
import { EHDR_SIZE, EM_X86_64, ET, EV_CURRENT, IDENT, PHDR_SIZE, PN_XNUM, SHDR_SIZE, SHF, SHN, SHT } from './format.js';
import { RelocationTables } from './relocations.js';
import { readGroups } from './section_groups.js';
import { StringTable } from './strings.js';
import { readSymbols } from './symbols.js';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Opens an ELF file that has been read into `bytes`; `file` is its name in messages. */
export function readElf(bytes: Uint8Array, file: string): ElfFile {
  return new Reader(bytes, file).read();
}

class Reader {
  readonly #view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    readonly file: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  read(): ElfFile {
    const { bytes, file } = this;
    const type = this.#header();
    const sectionTable = this.#sectionTable();
    const programTable = this.#programTable(sectionTable.at);
    const { sections: contents, programs: segments } = slices(bytes, sectionTable.count, programTable.count);
    const programs = segments.map(({ data }, i) => this.#program(programTable.at + i * PHDR_SIZE, i, data));
    const unnamed = contents.map(({ data }, i) => this.#section(sectionTable.at + i * SHDR_SIZE, i, data));
    const sections = this.#named(unnamed, sectionTable.names);
    this.#refuseOverlaps(sections);
    const symbols = readSymbols(file, sections);
    const tables = new RelocationTables(file, sections, symbols, type === 'relocatable');
    return {
      ...{ file, bytes, type, sections, programs, symbols },
      entry: this.#view.getBigUint64(24, true),
      groups: readGroups(file, sections, symbols),
      relocationsOf: (section) => tables.of(section),
    };
  }

  #refuse(message: string): never {
    throw new InputError(`${this.file}: ${message}`);
  }

  /** gABI, ELF Header. */
  #header(): ElfType {
    const { bytes } = this;
    if (bytes.length < 4 || IDENT.slice(0, 4).some((byte, i) => bytes[i] !== byte)) {
      this.#refuse('is not an ELF file: it does not begin with 7f 45 4c 46');
    }
    if (bytes.length < EHDR_SIZE) {
      this.#refuse(
        `ends after ${bytes.length} bytes, within the ELF header of ${EHDR_SIZE}; the file is cut off, make it anew`,
      );
    }
    if (bytes[4] !== 2) this.#refuse(`is not a 64-bit ELF file (class ${bytes[4]}); give one for x86-64`);
    if (bytes[5] !== 1) this.#refuse(`is not a little-endian ELF file (data ${bytes[5]}); give one for x86-64`);
    const view = this.#view;
    const version = view.getUint32(20, true);
    if (bytes[6] !== EV_CURRENT || version !== EV_CURRENT) {
      this.#refuse(
        `has the ELF version ${bytes[6] === EV_CURRENT ? version : bytes[6]}; the only one is 1: the file is damaged`,
      );
    }
    const machine = view.getUint16(18, true);
    if (machine !== EM_X86_64) this.#refuse(`is for machine ${machine}, not for x86-64 (${EM_X86_64})`);
    const type = view.getUint16(16, true);
    if (type === ET.REL) return 'relocatable';
    if (type === ET.EXEC) return 'executable';
    if (type === ET.DYN) return 'shared';
    return this.#refuse(
      type === ET.CORE
        ? 'is a core dump; give the object or executable whose code is to be tested'
        : `has the ELF type ${type}; give a relocatable object (1) or an executable (2)`,
    );
  }

  /** A field of 8 bytes that says how large something in the file, or of it in memory, is. */
  #size(at: number, what: string): number {
    const value = this.#view.getBigUint64(at, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.#refuse(`${what} is ${hex(value)} (at offset ${hex(at)}); the file is damaged, make it anew`);
    }
    return Number(value);
  }

  #refuseBeyondEnd(what: string, offset: number, size: number): void {
    const { length } = this.bytes;
    if (offset + size > length) {
      this.#refuse(
        `${what}, ${hex(size)} bytes at offset ${hex(offset)}, ends beyond the file's ${hex(length)} bytes; the file is cut off or damaged, make it anew`,
      );
    }
  }

  /** gABI, ELF Header: where the section headers are, how many, and which is that of their names; extended numbering in section 0. */
  #sectionTable(): { at: number; count: number; names: number } {
    const view = this.#view;
    const at = this.#size(40, 'the place of the section headers');
    if (at === 0) return { at, count: 0, names: 0 };
    const entrySize = view.getUint16(58, true);
    if (entrySize !== SHDR_SIZE) {
      this.#refuse(
        `the section headers have ${entrySize} bytes each, not ${SHDR_SIZE}; the file is damaged, make it anew`,
      );
    }
    this.#refuseBeyondEnd('section header 0', at, SHDR_SIZE);
    const count = view.getUint16(60, true) || this.#size(at + 32, 'the number of sections');
    const last = view.getUint16(62, true);
    const names = last === SHN.XINDEX ? view.getUint32(at + 40, true) : last;
    this.#refuseBeyondEnd(`the table of ${count} section headers`, at, count * SHDR_SIZE);
    return { at, count, names };
  }

  /** gABI, Program Header. */
  #programTable(sectionsAt: number): { at: number; count: number } {
    const view = this.#view;
    const at = this.#size(32, 'the place of the program headers');
    let count = view.getUint16(56, true);
    if (at === 0 || count === 0) return { at, count: 0 };
    if (count === PN_XNUM && sectionsAt !== 0) count = view.getUint32(sectionsAt + 44, true);
    const entrySize = view.getUint16(54, true);
    if (entrySize !== PHDR_SIZE) {
      this.#refuse(
        `the program headers have ${entrySize} bytes each, not ${PHDR_SIZE}; the file is damaged, make it anew`,
      );
    }
    this.#refuseBeyondEnd(`the table of ${count} program headers`, at, count * PHDR_SIZE);
    return { at, count };
  }

  #program(at: number, index: number, data: Uint8Array): ElfProgram {
    const view = this.#view;
    const offset = this.#size(at + 8, `the offset of segment ${index}`);
    const fileSize = this.#size(at + 32, `the size of segment ${index}`);
    this.#refuseBeyondEnd(`segment ${index}`, offset, fileSize);
    return {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset,
      virtualAddress: view.getBigUint64(at + 16, true),
      physicalAddress: view.getBigUint64(at + 24, true),
      fileSize,
      memorySize: view.getBigUint64(at + 40, true),
      data,
    };
  }

  /** gABI, Section Header, but for the name. */
  #section(at: number, index: number, data: Uint8Array): ElfSection & { nameOffset: number } {
    const view = this.#view;
    const type = view.getUint32(at + 4, true);
    const what = `section ${index}`;
    const offset = this.#size(at + 24, `the offset of ${what}`);
    const size = this.#size(at + 32, `the size of ${what}`);
    const stored = type !== SHT.NOBITS && type !== SHT.NULL;
    if (stored) this.#refuseBeyondEnd(what, offset, size);
    const align = this.#size(at + 48, `the alignment of ${what}`);
    if (align !== 0 && !Number.isInteger(Math.log2(align))) {
      this.#refuse(
        `the alignment of ${what}, ${hex(align)} (at offset ${hex(at + 48)}), is not a power of two; the file is damaged, make it anew`,
      );
    }
    return {
      ...{ index, name: '', nameOffset: view.getUint32(at, true), type, offset, size },
      // No flag has been given a meaning in the high half (gABI, Section Attribute Flags).
      flags: view.getUint32(at + 8, true),
      address: view.getBigUint64(at + 16, true),
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
      align: Math.max(1, align),
      entrySize: this.#size(at + 56, `the entry size of ${what}`),
      data: stored ? data : new Uint8Array(0),
    };
  }

  #named(sections: readonly (ElfSection & { nameOffset: number })[], names: number): ElfSection[] {
    if (sections.length === 0) return [];
    const table = sections[names];
    // 0: the file has no names (gABI, e_shstrndx).
    if (names !== 0 && table?.type !== SHT.STRTAB) {
      this.#refuse(
        table
          ? `section ${names}, which the header names as that of the sections' names, is not a string table; the file is damaged, make it anew`
          : `the header names section ${names} as that of the sections' names, but there are ${sections.length}; the file is damaged, make it anew`,
      );
    }
    const text = table && names !== 0 ? new StringTable(table.data, `${this.file}: section ${names}`) : undefined;
    return sections.map(({ nameOffset, ...section }) => ({
      ...section,
      name: text ? text.at(nameOffset, `section ${section.index}`) : '',
    }));
  }

  /** gABI, Sections: "Sections in a file may not overlap." Nor may those of an executable in memory. */
  #refuseOverlaps(sections: readonly ElfSection[]): void {
    const stored = sections.filter(({ type, size }) => type !== SHT.NOBITS && type !== SHT.NULL && size > 0);
    this.#refuseOverlap(stored, ({ offset, size }) => [BigInt(offset), BigInt(offset + size)], 'in the file');
    // The sections of an object all lie at 0; a .tbss takes no room (psABI); per-CPU data is linked at 0.
    const placed = sections.filter(
      ({ flags, size, address }) => (flags & SHF.ALLOC) !== 0 && (flags & SHF.TLS) === 0 && size > 0 && address !== 0n,
    );
    this.#refuseOverlap(placed, ({ address, size }) => [address, address + BigInt(size)], 'in memory');
  }

  #refuseOverlap(
    sections: readonly ElfSection[],
    range: (section: ElfSection) => readonly [start: bigint, end: bigint],
    where: string,
  ): void {
    const sorted = sections
      .map((section) => ({ section, start: range(section)[0], end: range(section)[1] }))
      .sort((a, b) => (a.start === b.start ? a.section.index - b.section.index : a.start < b.start ? -1 : 1));
    sorted.forEach((next, i) => {
      const last = sorted[i - 1];
      if (last && next.start < last.end) {
        throw new InputError(
          `${sectionPlace(this.file, next.section)} at ${hex(next.start)} overlaps section ${last.section.name} (${last.section.index}), which ends at ${hex(last.end)}, ${where}; the file is damaged, make it anew`,
        );
      }
    });
  }
}
