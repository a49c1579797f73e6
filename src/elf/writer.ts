/**
 * A module as an ELF64 relocatable object, for the linker, debuggers and binutils.
 *
 * Sources: `format.ts`.
 */
import { InputError } from '../errors.js';
import type { Module, ModuleSection, ModuleSymbol, Relocation } from '../image/module.js';
import { elfFile, NameTable, type SectionHeader, symbolHeaders } from './file_layout.js';
import { ABSOLUTE, BINDINGS, ET, RELA_SIZE, RELOCATION_TYPES, SHF, SHN, SHT, SYM_SIZE, TYPES } from './format.js';

/** Names that imply a type, as gABI, Special Sections, has them. */
const NAMED_TYPES: readonly (readonly [name: RegExp, type: number])[] = [
  [/^\.note\.GNU-stack$/, SHT.PROGBITS],
  [/^\.note(\..*)?$/, SHT.NOTE],
  [/^\.init_array(\..*)?$/, SHT.INIT_ARRAY],
  [/^\.fini_array(\..*)?$/, SHT.FINI_ARRAY],
  [/^\.preinit_array(\..*)?$/, SHT.PREINIT_ARRAY],
];

/** A section's type (gABI, Section Types); a module does not say more than the name does. */
function typeOf(section: ModuleSection): number {
  if (section.data.length === 0 && (section.size > 0 || /^\.t?bss(\..*)?$/.test(section.name))) return SHT.NOBITS;
  return NAMED_TYPES.find(([pattern]) => pattern.test(section.name))?.[1] ?? SHT.PROGBITS;
}

/** The arrays of function pointers have entries of one address; GNU as says so as well. */
function entrySizeOf(type: number): number {
  return type === SHT.INIT_ARRAY || type === SHT.FINI_ARRAY || type === SHT.PREINIT_ARRAY ? 8 : 0;
}

function flagsOf(section: ModuleSection): number {
  return (
    (section.write ? SHF.WRITE : 0) |
    (section.alloc ? SHF.ALLOC : 0) |
    (section.exec ? SHF.EXECINSTR : 0) |
    (/^\.t(data|bss)(\..*)?$/.test(section.name) ? SHF.TLS : 0)
  );
}

/** The symbol table of a module: its bytes, the index of each name, and of the first symbol that is not local. */
function symbolTable(module: Module, sectionIndex: ReadonlyMap<string, number>, strings: NameTable) {
  const isSection = (symbol: ModuleSymbol): boolean => symbol.type === 'section';
  const named = module.symbols.filter((symbol) => symbol.name !== ABSOLUTE && !isSection(symbol));
  const locals = [...named.filter((symbol) => symbol.binding === 'local'), ...module.symbols.filter(isSection)];
  const ordered = [...locals, ...named.filter((symbol) => symbol.binding !== 'local')];
  const bytes = new Uint8Array((ordered.length + 1) * SYM_SIZE);
  const view = new DataView(bytes.buffer);
  const index = new Map<string, number>([[ABSOLUTE, 0]]);
  ordered.forEach((symbol, i) => {
    const at = (i + 1) * SYM_SIZE;
    const home =
      symbol.section === 'undefined'
        ? SHN.UNDEF
        : symbol.section === 'absolute'
          ? SHN.ABS
          : sectionIndex.get(symbol.section);
    if (home === undefined) throw new Error(`${module.name}: ${symbol.name} lies in no section (${symbol.section})`);
    view.setUint32(at, isSection(symbol) ? 0 : strings.add(symbol.name), true);
    view.setUint8(at + 4, BINDINGS[symbol.binding] * 16 + TYPES[symbol.type]);
    view.setUint16(at + 6, home, true);
    view.setBigUint64(at + 8, symbol.value, true);
    view.setBigUint64(at + 16, symbol.size, true);
    index.set(symbol.name, i + 1);
  });
  return { bytes, index, firstGlobal: locals.length + 1 };
}

/** gABI, Relocation: Elf64_Rela; r_info is the symbol's index in the high half, the type in the low one. */
function relocationTable(module: Module, section: ModuleSection, index: ReadonlyMap<string, number>): Uint8Array {
  const bytes = new Uint8Array(section.relocations.length * RELA_SIZE);
  const view = new DataView(bytes.buffer);
  section.relocations.forEach((relocation: Relocation, i) => {
    const symbol = index.get(relocation.symbol);
    if (symbol === undefined) {
      const { position } = relocation;
      const place = position ? `${position.file}:${position.line}` : module.name;
      throw new InputError(
        `${place}: the field at ${section.name}+0x${relocation.offset.toString(16)} refers to ${relocation.symbol}, which the object's symbol table does not have; give the label a name that does not begin with a digit`,
      );
    }
    view.setBigUint64(i * RELA_SIZE, BigInt(relocation.offset), true);
    view.setUint32(i * RELA_SIZE + 8, RELOCATION_TYPES[relocation.kind][1], true);
    view.setUint32(i * RELA_SIZE + 12, symbol, true);
    view.setBigInt64(i * RELA_SIZE + 16, relocation.addend, true);
  });
  return bytes;
}

/** The bytes of an ELF64 relocatable object: sections in the module's order, each followed by its relocations. */
export function elfObject(module: Module): Uint8Array {
  const indices = new Map<string, number>();
  let next = 1;
  for (const section of module.sections) {
    indices.set(section.name, next);
    next += section.relocations.length > 0 ? 2 : 1;
  }
  // .symtab, .strtab and .shstrtab come last. Above SHN.LORESERVE an index would need SHT_SYMTAB_SHNDX.
  if (next + 3 > SHN.LORESERVE) {
    throw new InputError(
      `${module.name}: ${module.sections.length} sections are too many for an object; at most ${SHN.LORESERVE} with those of their relocations`,
    );
  }
  const symtabIndex = next;
  const strings = new NameTable();
  const symbols = symbolTable(module, indices, strings);
  const headers: SectionHeader[] = [];
  for (const section of module.sections) {
    const type = typeOf(section);
    headers.push({
      name: section.name,
      type,
      flags: flagsOf(section),
      data: type === SHT.NOBITS ? undefined : section.data,
      size: section.size,
      link: 0,
      info: 0,
      align: section.align,
      entrySize: entrySizeOf(type),
    });
    if (section.relocations.length === 0) continue;
    const data = relocationTable(module, section, symbols.index);
    headers.push({
      name: `.rela${section.name}`,
      type: SHT.RELA,
      flags: SHF.INFO_LINK,
      data,
      size: data.length,
      link: symtabIndex,
      info: headers.length,
      align: 8,
      entrySize: RELA_SIZE,
    });
  }
  headers.push(...symbolHeaders(symbols.bytes, strings, symtabIndex, symbols.firstGlobal));
  return elfFile(ET.REL, headers);
}
