/**
 * A linked image as an ELF executable, by which gdb knows labels and source lines. It is never loaded: memory comes from the machine.
 *
 * Sources: `../../elf/format.ts`; GDB manual, "Files".
 */
import { existsSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { elfFile, NameTable, plainHeader, type SectionHeader, symbolHeaders } from '../../elf/file_layout.js';
import { BINDINGS, ET, SHF, SHN, SHT, SYM_SIZE, TYPES } from '../../elf/format.js';
import { InputError } from '../../errors.js';
import type { Image, ImageSymbol, PlacedSection } from '../../image/image.js';
import { processorOf } from '../../platforms/platform.js';
import type { Subject } from '../../platforms/subject.js';
import { debugSections } from './line_tables.js';

export interface SymbolFile {
  readonly elf: Uint8Array;
  /** Sources that no file has, as stand-ins: their text by the path under which the ELF names them. */
  readonly sources: ReadonlyMap<string, string>;
}

interface Symbol {
  readonly name: string;
  readonly address: bigint;
  readonly size: bigint;
  readonly global: boolean;
  readonly type: keyof typeof TYPES;
  /** Index of its section in the file. */
  readonly home: number;
}

/** `directory`: where the file is to lie. */
export function symbolFile(subject: Subject, directory: string): SymbolFile {
  const { image } = subject;
  const sources = new Map<string, string>();
  const cwd = process.cwd();
  /** As short as gdb finds it: it looks from the directory of compilation. */
  const short = (path: string): string => {
    const below = relative(cwd, path);
    return below.startsWith('..') ? path : below;
  };
  const pathOf = (file: string): string => {
    if (existsSync(file)) return short(resolve(file));
    const text = image.sources.get(file);
    if (text === undefined) return file;
    const copy = join(directory, `${basename(file).replace(/[^\w.-]/g, '')}.S`);
    sources.set(copy, text);
    return copy;
  };
  const placed = copies(subject);
  const headers = placed.map(({ section, address }) => sectionHeader(section, address));
  const debug = debugSections(image.sections, pathOf, cwd);
  for (const [name, data] of Object.entries(debug)) headers.push(plainHeader(name, data));
  // .symtab, .strtab and .shstrtab come last. Above SHN.LORESERVE an index would need SHT_SYMTAB_SHNDX.
  if (headers.length + 4 > SHN.LORESERVE) {
    throw new InputError(`${placed.length} sections are too many for gdb's symbol file; give fewer files`);
  }
  const names = new NameTable();
  const { bytes, firstGlobal } = symbolTable(symbols(image, placed), names);
  headers.push(...symbolHeaders(bytes, names, headers.length + 1, firstGlobal));
  return { elf: elfFile(ET.EXEC, headers), sources };
}

/** A section where a processor has it: per-CPU data is there once for each. */
interface Copy {
  readonly section: PlacedSection;
  readonly address: bigint;
  readonly processor: number;
}

function copies({ image, platform, processors }: Subject): Copy[] {
  return image.sections.flatMap((section) =>
    Array.from({ length: section.segment === 'percpu' ? processors : 1 }, (_, processor) => {
      const offset = processorOf(platform, processor).percpu - platform.layout.percpu;
      return { section, processor, address: BigInt.asUintN(64, section.loadAddress + offset) };
    }),
  );
}

function sectionHeader({ name, segment, data, size }: PlacedSection, address: bigint): SectionHeader {
  const isCode = segment.endsWith('text');
  const hasBytes = data.length === size;
  return {
    ...{ name, address, size, link: 0, info: 0, align: 1, entrySize: 0 },
    type: hasBytes ? SHT.PROGBITS : SHT.NOBITS,
    flags: SHF.ALLOC | (isCode ? SHF.EXECINSTR : segment === 'rodata' ? 0 : SHF.WRITE),
    data: hasBytes ? data : undefined,
  };
}

/**
 * The labels. A per-CPU variable is linked at 0: gdb has its place in the first processor's area, and `NAME_cpu1` for that of the second.
 */
function symbols(image: Image, placed: readonly Copy[]): Symbol[] {
  const homes = new Map<string, { copy: Copy; index: number }[]>();
  placed.forEach((copy, i) => {
    const key = `${copy.section.module}\0${copy.section.name}`;
    const list = homes.get(key) ?? [];
    homes.set(key, [...list, { copy, index: i + 1 }]);
  });
  const sizes = dataSizes(image);
  const found: Symbol[] = [];
  for (const symbol of image.symbols) {
    if (symbol.type === 'section' || symbol.name === '' || symbol.name.startsWith('.L')) continue;
    // A default that another one's symbol has taken the place of.
    if (symbol.binding !== 'local' && image.globals.get(symbol.name) !== symbol) continue;
    const common = { size: sizes.get(symbol) ?? symbol.size, global: symbol.binding !== 'local', type: symbol.type };
    if (symbol.section === 'absolute') {
      found.push({ ...common, name: symbol.name, address: symbol.address, home: SHN.ABS });
      continue;
    }
    for (const { copy, index } of homes.get(`${symbol.module}\0${symbol.section}`) ?? []) {
      const name = copy.processor === 0 ? symbol.name : `${symbol.name}_cpu${copy.processor}`;
      const address = BigInt.asUintN(64, symbol.address - copy.section.address + copy.address);
      found.push({ ...common, name, address, home: index });
    }
  }
  return found;
}

/** The sizes of data that the source gives none: up to the next label. gdb does not name an address by data of size 0. */
function dataSizes(image: Image): ReadonlyMap<ImageSymbol, bigint> {
  const ends = new Map<string, bigint>();
  for (const { module, name, segment, address, size } of image.sections) {
    if (!segment.endsWith('text')) ends.set(`${module}\0${name}`, address + BigInt(size));
  }
  const data = image.symbols.filter((s) => s.type !== 'section' && ends.has(`${s.module}\0${s.section}`));
  data.sort((a, b) => (a.address < b.address ? 1 : a.address > b.address ? -1 : 0));
  const sizes = new Map<ImageSymbol, bigint>();
  // From the last one down: where the one behind begins, and so where the last one before it ends.
  const behind = new Map<string, { at: bigint; end: bigint }>();
  for (const symbol of data) {
    const key = `${symbol.module}\0${symbol.section}`;
    const known = behind.get(key) ?? { at: ends.get(key)!, end: ends.get(key)! };
    const end = known.at === symbol.address ? known.end : known.at;
    behind.set(key, { at: symbol.address, end });
    if (symbol.size === 0n) sizes.set(symbol, end - symbol.address);
  }
  return sizes;
}

/** gABI, Symbol Table: local symbols first. */
function symbolTable(list: readonly Symbol[], names: NameTable): { bytes: Uint8Array; firstGlobal: number } {
  const locals = list.filter(({ global }) => !global);
  const ordered = [...locals, ...list.filter(({ global }) => global)];
  const bytes = new Uint8Array((ordered.length + 1) * SYM_SIZE);
  const view = new DataView(bytes.buffer);
  ordered.forEach((symbol, i) => {
    const at = (i + 1) * SYM_SIZE;
    view.setUint32(at, names.add(symbol.name), true);
    view.setUint8(at + 4, (symbol.global ? BINDINGS.global : BINDINGS.local) * 16 + TYPES[symbol.type]);
    view.setUint16(at + 6, symbol.home, true);
    view.setBigUint64(at + 8, symbol.address, true);
    view.setBigUint64(at + 16, symbol.size, true);
  });
  return { bytes, firstGlobal: locals.length + 1 };
}
