/** Links modules: lays their sections out in the platform's segments, resolves symbols, applies relocations. */
import { InputError } from '../errors.js';
import { withoutDuplicates } from './duplicates.js';
import { Image, type ImageSymbol, type PlacedSection, type Segment } from './image.js';
import { type Module, type ModuleSection, type ModuleSymbol, plainName, type Relocation } from './module.js';
import { SymbolIndex } from './symbol_index.js';

/** Where each segment begins; `percpu` is where the section that is linked at address 0 is loaded. */
export type Layout = Readonly<Record<Segment, bigint>>;

export interface LinkOptions {
  readonly layout: Layout;
  /** Symbols that the platform gives a value. */
  readonly absolute: Readonly<Record<string, bigint>>;
  /** Which of the modules are the code under test. */
  readonly tested: readonly Module[];
  /** The interrupted context: what it refers to may be a local label of the code under test. */
  readonly context?: Module;
  /** Sections whose names begin like this go to the end of their segment, on pages of their own. */
  readonly apart?: readonly string[];
  /** Functions of an executable whose names other modules' functions take: see `divert`. */
  readonly diverted?: ReadonlySet<string>;
}

const PAGE = 4096n;

/** What an executable's own version of a function is called when another module has taken its name. */
export const REPLACED = '.replaced';

export function segmentOf(section: ModuleSection): Segment {
  const name = plainName(section.name);
  if (name.startsWith('.data..percpu') || name.startsWith('.bss..percpu')) return 'percpu';
  const user = name.endsWith('.user');
  if (section.exec && name.endsWith('.smm')) return 'smm-text';
  if (section.exec) return user ? 'user-text' : 'text';
  if (user) return 'user-data';
  // Some linker scripts leave constants writable; the system software maps them read-only, as it does its text.
  return section.write && !name.startsWith('.rodata') ? 'data' : 'rodata';
}

/** The names that no module defines, each with its first use. `context` may use local labels of the others too. */
export function undefinedSymbols(
  modules: readonly Module[],
  absolute: Readonly<Record<string, bigint>>,
  context?: Module,
): ModuleSymbol[] {
  const defined = new Set<string>(Object.keys(absolute));
  const labels = new Set<string>();
  for (const module of modules) {
    for (const symbol of module.symbols) {
      if (symbol.section === 'undefined') continue;
      (symbol.binding === 'local' ? labels : defined).add(symbol.name);
    }
  }
  const missing = new Map<string, ModuleSymbol>();
  for (const module of modules) {
    for (const symbol of module.symbols) {
      if (symbol.section !== 'undefined' || defined.has(symbol.name)) continue;
      if (module === context && labels.has(symbol.name)) continue;
      const known = missing.get(symbol.name);
      if (!known || (known.calledOnly && !symbol.calledOnly)) missing.set(symbol.name, symbol);
    }
  }
  return [...missing.values()];
}

export function link(given: readonly Module[], options: LinkOptions): Image {
  const modules = withoutDuplicates(given);
  const cursor = new Map<Segment, bigint>();
  const placed: { section: ModuleSection; module: Module; address: bigint; segment: Segment }[] = [];
  const all = modules.flatMap((module) => module.sections.map((section) => ({ module, section })));
  const isApart = ({ name }: ModuleSection): boolean => options.apart?.some((begin) => name.startsWith(begin)) ?? false;
  const apartBegun = new Set<Segment>();
  const isFixed = ({ address }: ModuleSection): boolean => address !== undefined;
  for (const { module, section } of all.filter((a) => isFixed(a.section))) {
    if (!section.alloc || section.size === 0) continue;
    const address = section.address!;
    const segment = segmentOf(section);
    placed.push({ section, module, address, segment });
    // Per-CPU data of other modules goes behind the executable's.
    if (segment === 'percpu') cursor.set(segment, address + BigInt(section.size));
  }
  for (const last of [false, true]) {
    for (const { module, section } of all) {
      if (!section.alloc || section.size === 0 || isFixed(section) || isApart(section) !== last) continue;
      if (section.write && section.exec) {
        throw new InputError(
          `${module.name}: section ${section.name} is both writable and executable; code that changes itself is not modelled: drop one of the flags`,
        );
      }
      const segment = segmentOf(section);
      const start = segment === 'percpu' ? 0n : options.layout[segment];
      const page = last && !apartBegun.has(segment) ? Number(PAGE) : 0;
      if (last) apartBegun.add(segment);
      const align = BigInt(Math.max(section.align, segment.endsWith('text') ? 16 : 8, page));
      const at = ((cursor.get(segment) ?? start) + align - 1n) & ~(align - 1n);
      placed.push({ section, module, address: BigInt.asUintN(64, at), segment });
      cursor.set(segment, at + BigInt(section.size));
    }
  }

  const symbols: ImageSymbol[] = [];
  for (const [name, value] of Object.entries(options.absolute)) {
    symbols.push({
      ...{ name, section: 'absolute', value, size: 0n, binding: 'weak', type: 'notype', module: '(platform)' },
      address: BigInt.asUintN(64, value),
    });
  }
  const strong = new Map<string, ImageSymbol>();
  for (const module of modules) {
    const homes = new Map(placed.filter((p) => p.module === module).map((p) => [p.section.name, p]));
    for (const defined of module.symbols) {
      if (defined.section === 'undefined') continue;
      const home = homes.get(defined.section);
      const isDiverted = home !== undefined && isFixed(home.section) && (options.diverted?.has(defined.name) ?? false);
      const symbol = isDiverted ? { ...defined, name: `${defined.name}${REPLACED}` } : defined;
      if (!home && symbol.section !== 'absolute') {
        // A label in an empty section has no address of its own: give it the segment's start.
        continue;
      }
      const address = BigInt.asUintN(64, (home?.address ?? 0n) + symbol.value);
      const entry: ImageSymbol = { ...symbol, module: module.name, address };
      if (symbol.binding === 'global') {
        const other = strong.get(symbol.name);
        if (other) {
          throw new InputError(
            `${where(symbol, module)}: symbol ${symbol.name} is already defined in ${other.module}${
              other.position ? `:${other.position.line}` : ''
            }; rename one or declare it .weak`,
          );
        }
        strong.set(symbol.name, entry);
      }
      symbols.push(entry);
    }
  }
  const sources = new Map<string, string>();
  for (const module of modules) for (const [file, text] of module.sources) sources.set(file, text);
  const tested = options.tested.map((m) => m.name);
  const index = new SymbolIndex(symbols);
  const relocated = new Set(modules.filter((m) => m.sections.some((s) => s.relocations.length > 0)).map((m) => m.name));
  const locals = new Map<string, ImageSymbol>();
  for (const s of symbols)
    if (s.binding === 'local' && relocated.has(s.module)) locals.set(`${s.module}\0${s.name}`, s);

  const sections: PlacedSection[] = placed.map(({ section, module, address, segment }) => {
    const data = isFixed(section) ? section.data : section.data.slice();
    for (const relocation of section.relocations) {
      const target =
        locals.get(`${module.name}\0${relocation.symbol}`) ??
        index.globals.get(relocation.symbol) ??
        (module === options.context ? index.locals.get(relocation.symbol) : undefined);
      if (!target) {
        const at = relocation.position;
        throw new InputError(
          `${at ? `${at.file}:${at.line}` : module.name}: symbol ${relocation.symbol} is not defined; define it in one of the given files`,
        );
      }
      relocate(data, relocation, target.address, address, module);
    }
    const loadAddress = segment === 'percpu' ? BigInt.asUintN(64, options.layout.percpu + address) : address;
    return {
      name: section.name,
      module: module.name,
      segment,
      address,
      loadAddress,
      data,
      size: section.size,
      lines: isFixed(section) ? [] : section.lines,
      // Made when it is asked for.
      get lineMap() {
        return section.lineMap;
      },
      fixed: isFixed(section),
    };
  });
  return new Image(sections, index, tested, sources);
}

/**
 * The image with a jump at the start of each replaced function of an executable, to the function that has taken its name: as a live
 * patch has it.
 */
export function divert(image: Image): Image {
  const replaced = image.symbols.filter((s) => s.name.endsWith(REPLACED));
  if (replaced.length === 0) return image;
  const sections = image.sections.map((section) => {
    const own = replaced.filter((s) => s.module === section.module && s.section === section.name);
    if (own.length === 0) return section;
    const data = section.data.slice();
    for (const { name, address, module } of own) {
      const target = image.globals.get(name.slice(0, -REPLACED.length))!;
      const offset = Number(address - section.address);
      data[offset] = JMP;
      const field: Relocation = { offset: offset + 1, kind: 'pc32', symbol: target.name, addend: -4n };
      relocate(data, field, target.address, section.address, { name: module });
    }
    return { ...section, data };
  });
  return image.withSections(sections);
}

/** JMP rel32 (SDM vol. 2). */
const JMP = 0xe9;

function where(symbol: ModuleSymbol, module: Module): string {
  return symbol.position ? `${symbol.position.file}:${symbol.position.line}` : module.name;
}

const WIDTH = {
  abs64: 8,
  abs32: 4,
  abs32s: 4,
  abs16: 2,
  abs8: 1,
  pc64: 8,
  pc32: 4,
  plt32: 4,
  pc16: 2,
  pc8: 1,
} as const;

function relocate(
  data: Uint8Array,
  relocation: Relocation,
  symbol: bigint,
  section: bigint,
  module: Pick<Module, 'name'>,
): void {
  const size = WIDTH[relocation.kind];
  const relative = relocation.kind.startsWith('p');
  const place = section + BigInt(relocation.offset);
  const value = BigInt.asIntN(64, symbol + relocation.addend - (relative ? place : 0n));
  const bits = 8 * size;
  const fits =
    size === 8 ||
    (relative || relocation.kind === 'abs32s'
      ? value === BigInt.asIntN(bits, value)
      : BigInt.asUintN(64, value) === BigInt.asUintN(bits, value) ||
        (size < 4 && value === BigInt.asIntN(bits, value)));
  if (!fits) {
    const at = relocation.position;
    throw new InputError(
      `${at ? `${at.file}:${at.line}` : `${module.name} at offset 0x${relocation.offset.toString(16)}`}: the address of ${relocation.symbol} (0x${symbol.toString(16)}) does not fit into ${bits} bits here; use a wider form or an address relative to %rip`,
    );
  }
  for (let i = 0; i < size; i++) data[relocation.offset + i] = Number(BigInt.asUintN(8, value >> BigInt(8 * i)));
}

/** The span of whole pages that a segment's sections cover, without those of executables: start and bytes; undefined if there are none. */
export function segmentSpan(image: Image, segment: Segment): { address: bigint; size: number } | undefined {
  const sections = image.sections.filter((s) => s.segment === segment && (!s.fixed || segment === 'percpu'));
  if (sections.length === 0) return undefined;
  const start =
    sections.reduce((a, s) => (s.loadAddress < a ? s.loadAddress : a), sections[0]!.loadAddress) & ~(PAGE - 1n);
  const end = sections.reduce((a, s) => (s.loadAddress + BigInt(s.size) > a ? s.loadAddress + BigInt(s.size) : a), 0n);
  return { address: start, size: Number((end - start + PAGE - 1n) & ~(PAGE - 1n)) };
}
