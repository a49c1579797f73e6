/** An ELF file as a module: a relocatable object with its relocations, an executable with its sections at their addresses. */
import { lastAt } from '../binary_search.js';
import { InputError } from '../errors.js';
import { type LineMap, positionAt } from '../image/line_map.js';
import type { LineRow, Module, ModuleSection, ModuleSymbol, Relocation, RelocationKind } from '../image/module.js';
import { instructionRows } from './code.js';
import { checkExecutable } from './executable.js';
import { type ElfFile, type ElfSection, sectionPlace } from './file.js';
import { OTHER_RELOCATIONS, R_X86_64_NONE, RELOCATION_TYPES, RELOCATION_WIDTH, SHF, SHT } from './format.js';
import { symbolNames, UniqueNames } from './names.js';
import type { ElfRelocation } from './relocations.js';
import { type SourceLines, sourceLines } from './source_lines.js';
import type { ElfSymbol } from './symbols.js';

/** All sections of one file in memory, together, may have so many bytes: more is no kernel but a damaged size. */
const MOST = 2 ** 30;

const KINDS: ReadonlyMap<number, RelocationKind> = new Map(
  (Object.keys(RELOCATION_TYPES) as RelocationKind[]).map((kind) => [RELOCATION_TYPES[kind][1], kind]),
);

/**
 * Sections of kernel objects that the kernel's linker script drops, or that only the loader of modules reads (Linux,
 * include/asm-generic/vmlinux.lds.h: DISCARDS).
 */
const DROPPED = /^\.(discard\.|modinfo$|export_symbol$|eh_frame$|llvm_addrsig)|^_*_ksymtab|^_*_kcrctab/;

export function moduleFromElf(elf: ElfFile): Module {
  return new ModuleMaker(elf).make();
}

class ModuleMaker {
  readonly #relocatable: boolean;
  /** Sections that are loaded, by index: the name that the module gives them. */
  readonly #names = new Map<number, string>();
  readonly #sectionNames = new UniqueNames();
  readonly #sectionIndex = new Map<string, number>();
  readonly #symbolNames: readonly string[];
  #allLabels: Map<number, Map<number, string>> | undefined;
  #lines: SourceLines | undefined;
  /** Undefined symbols with a use that is no CALL or JMP, and all that are used. */
  readonly #otherwiseUsed = new Set<ElfSymbol>();
  readonly #used = new Set<ElfSymbol>();

  /** Signatures of the groups that other files may have as well, by section. */
  readonly #groups: ReadonlyMap<number, string>;

  constructor(private readonly elf: ElfFile) {
    this.#relocatable = elf.type === 'relocatable';
    if (!this.#relocatable) checkExecutable(elf);
    this.#groups = new Map(
      elf.groups
        .filter(({ comdat }) => comdat)
        .flatMap((group) => group.sections.map((index) => [index, group.signature])),
    );
    let total = 0;
    for (const section of elf.sections) {
      if (!this.#isLoaded(section)) continue;
      total += section.size;
      if (total > MOST) {
        throw new InputError(
          `${sectionPlace(elf.file, section)}: with its 0x${section.size.toString(16)} bytes the sections in memory have more than ${MOST >> 20} MiB; the file is damaged, make it anew`,
        );
      }
      if ((section.flags & SHF.COMPRESSED) !== 0) {
        throw new InputError(
          `${sectionPlace(elf.file, section)}: is compressed, but belongs to the program; make the file anew (gABI: SHF_COMPRESSED is for sections that are not loaded)`,
        );
      }
      if (this.#relocatable && section.align > MOST) {
        throw new InputError(
          `${sectionPlace(elf.file, section)}: has the alignment 0x${section.align.toString(16)}; the file is damaged, make it anew`,
        );
      }
      // In a module, `undefined` and `absolute` are no names of sections.
      const isPlain = section.name !== '' && section.name !== 'undefined' && section.name !== 'absolute';
      const name = this.#sectionNames.number(section.name, isPlain ? 1 : 2);
      this.#names.set(section.index, name);
      this.#sectionIndex.set(name, section.index);
    }
    this.#symbolNames = symbolNames(elf.symbols, (index) => this.#names.get(index) ?? elf.sections[index]!.name);
  }

  make(): Module {
    const { elf } = this;
    const sections = elf.sections
      .filter(({ index }) => this.#names.has(index))
      .map((section) => this.#section(section));
    const symbols = this.#symbols(sections);
    return { name: elf.file, sections, symbols, sources: new Map([[elf.file, '']]) };
  }

  /** What lies in memory when the code runs. */
  #isLoaded({ name, type, flags }: ElfSection): boolean {
    const never: readonly number[] = [SHT.NULL, SHT.SYMTAB, SHT.STRTAB, SHT.RELA, SHT.REL, SHT.GROUP];
    if ((flags & SHF.ALLOC) === 0 || never.includes(type) || (flags & SHF.TLS) !== 0) return false;
    return !this.#relocatable || ((flags & SHF.EXCLUDE) === 0 && !DROPPED.test(name));
  }

  /** The address that symbol values in a section count from. */
  #start(section: number): bigint {
    return this.#relocatable ? 0n : this.elf.sections[section]!.address;
  }

  #section(section: ElfSection): ModuleSection {
    const exec = (section.flags & SHF.EXECINSTR) !== 0;
    const relocations = this.#relocatable ? this.#relocations(section) : [];
    const group = this.#relocatable ? this.#groups.get(section.index) : undefined;
    const makeRows = (): readonly LineRow[] => (exec ? this.#rows(section, relocations) : []);
    // The rows of an object have their lines.
    const makeMap = (): LineMap | undefined => (exec && !this.#relocatable ? this.#lineMap(section) : undefined);
    let rows: readonly LineRow[] | undefined;
    return {
      name: this.#names.get(section.index)!,
      data: section.data,
      size: section.size,
      align: section.align,
      alloc: true,
      // A linker script may put what is written and what is executed into one section: the kernel then maps it read-only.
      write: (section.flags & SHF.WRITE) !== 0 && (this.#relocatable || !exec),
      exec,
      relocations,
      ...(this.#relocatable ? {} : { address: section.address }),
      ...(group === undefined ? {} : { group }),
      // Most code is never looked at.
      get lines(): readonly LineRow[] {
        rows ??= makeRows();
        return rows;
      },
      get lineMap(): LineMap | undefined {
        return makeMap();
      },
    };
  }

  /** The instructions of a section, with their lines, where the file says them. */
  #rows(section: ElfSection, relocations: readonly Relocation[]): LineRow[] {
    const { elf } = this;
    const map = this.#lineMap(section);
    const labels = this.#labels(section.index);
    const offsets = [...labels.keys()].sort((a, b) => a - b);
    const fields = new Map(relocations.map((relocation) => [relocation.offset, relocation]));
    const address = this.#relocatable ? 0n : section.address;
    return instructionRows({
      ...{ data: section.data, labels: offsets, address, file: elf.file },
      position: (offset) => map && positionAt(map, offset),
      field: (offset, end) => {
        const relocation = fields.get(offset);
        return relocation && this.#operand(relocation, end);
      },
      name: (target) => nearest(labels, offsets, Number(target - address)),
    });
  }

  #lineMap(section: ElfSection): LineMap | undefined {
    this.#lines ??= sourceLines(this.elf);
    return this.#lines.get(section.index);
  }

  /** What a relocation puts into an instruction that ends at offset `end`, as the source may have had it. */
  #operand({ kind, symbol, addend, offset }: Relocation, end: number): string {
    const distance = kind.startsWith('p') ? addend + BigInt(end - offset) : addend;
    const section = this.#sectionIndex.get(symbol);
    const label = section === undefined ? undefined : this.#labels(section).get(Number(distance));
    if (label !== undefined) return label;
    if (distance === 0n) return symbol;
    return distance < 0n ? `${symbol}-0x${(-distance).toString(16)}` : `${symbol}+0x${distance.toString(16)}`;
  }

  /** The labels of a section by their offsets. */
  #labels(section: number): ReadonlyMap<number, string> {
    if (!this.#allLabels) {
      this.#allLabels = new Map();
      for (const symbol of this.elf.symbols) {
        if (typeof symbol.section !== 'number' || symbol.type === 'section' || symbol.type === 'file') continue;
        const offset = Number(symbol.value - this.#start(symbol.section));
        const labels = this.#allLabels.get(symbol.section) ?? new Map<number, string>();
        this.#allLabels.set(symbol.section, labels);
        // Of several names, one that other files know.
        if (!labels.has(offset) || symbol.binding !== 'local') labels.set(offset, this.#symbolNames[symbol.index]!);
      }
    }
    return this.#allLabels.get(section) ?? new Map();
  }

  #relocations(section: ElfSection): Relocation[] {
    const found = this.elf.relocationsOf(section.index).flatMap((relocation) => this.#relocation(section, relocation));
    return found.sort((a, b) => a.offset - b.offset);
  }

  #relocation(section: ElfSection, relocation: ElfRelocation): Relocation[] {
    const { offset, type, symbol, addend } = relocation;
    if (type === R_X86_64_NONE) return [];
    const place = `${sectionPlace(this.elf.file, section)} at offset 0x${offset.toString(16)}`;
    const name = this.#symbolNames[symbol.index]!;
    if (name === '') {
      throw new InputError(
        `${place}: the relocation refers to symbol ${symbol.index}, which stands for nothing that has an address (${symbol.type}); the file is damaged, make it anew`,
      );
    }
    const kind = KINDS.get(type);
    if (kind === undefined) throw new InputError(`${place}: ${refusal(type, name)}`);
    if (offset + RELOCATION_WIDTH[kind] > section.data.length) {
      throw new InputError(
        `${place}: the relocation ${RELOCATION_TYPES[kind][0]} to ${name} needs ${RELOCATION_WIDTH[kind]} bytes, but the section's contents end at 0x${section.data.length.toString(16)}; the file is damaged, make it anew`,
      );
    }
    this.#used.add(symbol);
    if (!isBranchTarget(section, relocation, kind)) this.#otherwiseUsed.add(symbol);
    return [{ offset, kind, symbol: name, addend }];
  }

  #symbols(sections: ModuleSection[]): ModuleSymbol[] {
    const found: ModuleSymbol[] = [];
    for (const symbol of this.elf.symbols) {
      const name = this.#symbolNames[symbol.index]!;
      const { type, binding, size } = symbol;
      if (type === 'file' || (type === 'section' && !this.#relocatable) || name === '') continue;
      // Symbol 0 is the number 0; nothing but relocations knows it.
      if (symbol.index === 0 && !this.#used.has(symbol)) continue;
      const home = symbol.index === 0 ? { section: 'absolute', value: 0n } : this.#home(symbol, name, sections);
      if (!home) continue;
      const { section, value } = home;
      // Of several unique symbols the first is taken, as of weak ones.
      const known = binding === 'unique' ? 'weak' : binding;
      const made = { name, section, value, size, binding: known, type: MODULE_TYPES[type] } as const;
      found.push(section === 'undefined' ? { ...made, calledOnly: !this.#otherwiseUsed.has(symbol) } : made);
    }
    return found;
  }

  /** Where a symbol lies; undefined if it is not needed. COMMON symbols get a section of their own. */
  #home(
    symbol: ElfSymbol,
    name: string,
    sections: ModuleSection[],
  ): { readonly section: string; readonly value: bigint } | undefined {
    const refuse = (message: string): never => {
      throw new InputError(`${this.elf.file}: symbol ${name}: ${message}`);
    };
    const { section, value } = symbol;
    if (symbol.type === 'ifunc' && this.#relocatable) {
      refuse('is an indirect function (STT_GNU_IFUNC), which only a dynamic linker resolves; build without it');
    }
    if (section === 'absolute') return { section, value };
    if (section === 'undefined') {
      if (symbol.binding === 'local') refuse('is local, but not defined; the file is damaged, make it anew');
      // What only sections that are not loaded refer to need not be defined.
      return this.#used.has(symbol) ? { section, value: 0n } : undefined;
    }
    if (section === 'common') {
      const made = commonSection(symbol, this.#sectionNames.number(`COMMON ${name}`, 1), refuse);
      sections.push(made);
      return { section: made.name, value: 0n };
    }
    const loaded = this.#names.get(section);
    if (loaded !== undefined) return { section: loaded, value: value - this.#start(section) };
    const { name: lost, flags } = this.elf.sections[section]!;
    if (this.#used.has(symbol)) {
      refuse(
        `is used by code or data, but lies in section ${lost}, which is not loaded; drop the use, or put it into a section that is`,
      );
    }
    // Linker scripts define symbols in sections that came out empty.
    return !this.#relocatable && (flags & SHF.ALLOC) !== 0 ? { section: 'absolute', value } : undefined;
  }
}

const MODULE_TYPES: Readonly<Record<ElfSymbol['type'], ModuleSymbol['type']>> = {
  ...{ notype: 'notype', object: 'object', func: 'func', section: 'section', file: 'notype' },
  ...{ common: 'object', tls: 'object', ifunc: 'func' },
};

/** `label+0x8`: the last label at or before an offset; undefined if there is none. `offsets` are those of the labels, in order. */
function nearest(labels: ReadonlyMap<number, string>, offsets: readonly number[], offset: number): string | undefined {
  const from = offsets[lastAt(offsets.length, (i) => offsets[i]! <= offset)];
  if (from === undefined) return undefined;
  return from === offset ? labels.get(from) : `${labels.get(from)}+0x${(offset - from).toString(16)}`;
}

/** Memory for a COMMON symbol (gABI, SHN_COMMON: the value is the alignment). */
function commonSection(symbol: ElfSymbol, name: string, refuse: (message: string) => never): ModuleSection {
  const align = Number(symbol.value);
  if (symbol.size > BigInt(MOST) || align > MOST || (align !== 0 && !Number.isInteger(Math.log2(align)))) {
    refuse(
      `is COMMON with size 0x${symbol.size.toString(16)} and alignment 0x${symbol.value.toString(16)}; the file is damaged, make it anew`,
    );
  }
  return {
    name,
    data: new Uint8Array(0),
    size: Number(symbol.size),
    align: Math.max(1, align),
    ...{ alloc: true, write: true, exec: false, common: true, relocations: [], lines: [] },
  };
}

/** CALL and JMP rel32 (e8, e9), Jcc rel32 (0f 80 to 0f 8f): SDM vol. 2. The addend -4 is from the field to its end. */
function isBranchTarget({ data, flags }: ElfSection, { offset, addend }: ElfRelocation, kind: RelocationKind): boolean {
  if ((kind !== 'pc32' && kind !== 'plt32') || addend !== -4n || (flags & SHF.EXECINSTR) === 0) return false;
  const opcode = data[offset - 1];
  return opcode === 0xe8 || opcode === 0xe9 || (data[offset - 2] === 0x0f && opcode !== undefined && opcode >> 4 === 8);
}

/** Why a relocation cannot be applied, and what to do. */
function refusal(type: number, symbol: string): string {
  const name = OTHER_RELOCATIONS.get(type);
  if (name === undefined) return `the relocation type ${type} is not known; the file is damaged, make it anew`;
  const what = `the relocation ${name} to ${symbol}`;
  if (/TLS|TPOFF|TPMOD/.test(name)) {
    return `${what} is for thread-local storage, which kernels do not have; build without __thread`;
  }
  if (/GOT|PLT/.test(name)) {
    return `${what} needs a global offset table, which is not made; build with -mcmodel=kernel -fno-pic (in assembly: no @GOTPCREL)`;
  }
  return `${what} is not for the linker of static code; build with -mcmodel=kernel -fno-pic`;
}
