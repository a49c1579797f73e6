/** A whole executable in memory: which pages it needs, and which of its functions stand-ins take the place of. */
import { Decoder, DecoderOptions, FlowControl, type Instruction } from 'iced-x86';
import { PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import { InputError } from '../errors.js';
import type { Image, PlacedSection } from '../image/image.js';
import type { Module, ModuleSymbol } from '../image/module.js';
import { SEGMENT_PERMS } from './boot.js';
import type { Platform } from './platform.js';

/** The executable among the modules; an InputError if there are several. */
export function executableOf(modules: readonly Module[]): Module | undefined {
  const found = modules.filter(({ sections }) => sections.some(({ address }) => address !== undefined));
  if (found.length > 1) {
    throw new InputError(
      `${found[1]!.name}: is an executable, and so is ${found[0]!.name}; give one, and objects beside it`,
    );
  }
  return found[0];
}

/**
 * The functions of an executable that stand-ins take the place of: the C parts of the platform, and what entry code calls outside of
 * itself; but not those that are run themselves.
 */
export function divertedFunctions(executable: Module, platform: Platform, through: readonly string[]): Set<string> {
  const byName = new Map<string, ModuleSymbol>();
  const byPlace = new Map<string, ModuleSymbol>();
  for (const symbol of executable.symbols) {
    if (symbol.section === 'undefined' || symbol.section === 'absolute') continue;
    byName.set(symbol.name, symbol);
    const place = `${symbol.section} ${symbol.value}`;
    const known = byPlace.get(place);
    if (!known || (known.binding === 'local' && symbol.binding !== 'local')) byPlace.set(place, symbol);
  }
  const names = new Set([...platform.cParts, ...platform.bodies].filter((name) => byName.has(name)));
  for (const symbol of calledFromEntry(executable, platform, byPlace)) {
    if (!platform.systemCode.helpers.test(symbol.name)) names.add(symbol.name);
  }
  for (const name of through) names.delete(name);
  return names;
}

/** A stretch of a section: offsets in bytes, the second one not in it. */
interface Stretch {
  readonly section: string;
  readonly from: number;
  readonly to: number;
}

/** Where the entry code of an executable lies; an InputError if its symbols do not say it. */
function entryCode({ name, symbols }: Module, { systemCode }: Platform): Stretch[] {
  const defined = symbols.filter((s) => s.section !== 'undefined' && s.section !== 'absolute');
  const find = (wanted: string): ModuleSymbol | undefined => defined.find((s) => s.name === wanted);
  const [start, end] = systemCode.entryText.map(find);
  if (!start || !end || start.section !== end.section) {
    throw new InputError(
      `${name}: ${systemCode.entryText.join(' and ')} do not say where the entry code lies; give a file with its symbol table`,
    );
  }
  const elsewhere = (systemCode.entryFunctions ?? []).flatMap((wanted): Stretch[] => {
    const symbol = find(wanted);
    if (!symbol) return [];
    const next = defined.reduce(
      (a, s) => (s.section === symbol.section && s.value > symbol.value && s.value < a ? s.value : a),
      symbol.value + LONGEST_FUNCTION,
    );
    return [{ section: symbol.section, from: Number(symbol.value), to: Number(next) }];
  });
  return [{ section: start.section, from: Number(start.value), to: Number(end.value) }, ...elsewhere];
}

/** Where a function ends in any case that has no symbol behind it. */
const LONGEST_FUNCTION = 0x1000n;

/** The instructions of an executable's entry code, as they are before they are patched. */
export function* entryInstructions(executable: Module, platform: Platform): Generator<Instruction> {
  for (const { section: name, from, to } of entryCode(executable, platform)) {
    const section = executable.sections.find((s) => s.name === name)!;
    const decoder = new Decoder(64, section.data.subarray(from, to), DecoderOptions.None);
    decoder.ip = section.address! + BigInt(from);
    try {
      while (decoder.canDecode) {
        const instruction = decoder.decode();
        try {
          yield instruction;
        } finally {
          instruction.free();
        }
      }
    } finally {
      decoder.free();
    }
  }
}

/** The functions outside of the entry code that it calls, or jumps to, directly. */
function calledFromEntry(
  executable: Module,
  platform: Platform,
  byPlace: ReadonlyMap<string, ModuleSymbol>,
): ModuleSymbol[] {
  const code = entryCode(executable, platform);
  const isEntry = (section: string, at: number): boolean =>
    code.some((s) => s.section === section && at >= s.from && at < s.to);
  const sections = executable.sections.filter((s) => s.exec && s.address !== undefined);
  const found = new Set<ModuleSymbol>();
  for (const instruction of entryInstructions(executable, platform)) {
    const { flowControl } = instruction;
    if (flowControl !== FlowControl.Call && flowControl !== FlowControl.UnconditionalBranch) continue;
    for (const { name, address } of sections) {
      const target = instruction.nearBranchTarget - address!;
      const symbol = byPlace.get(`${name} ${target}`);
      if (symbol && !isEntry(name, Number(target))) found.add(symbol);
    }
  }
  return [...found];
}

/** The regions of an image's fixed sections but per-CPU data: whole pages, with the rights of all sections that lie in them. */
export function fixedRegions(image: Image, platform: Platform): Region[] {
  const sections = loadedSections(image, platform).filter((s) => s.fixed && s.segment !== 'percpu');
  const size = BigInt(PAGE_SIZE);
  const rights = new Map<bigint, number>();
  for (const section of sections) {
    const end = section.address + BigInt(section.size);
    for (let page = section.address & -size; page < end; page += size) {
      rights.set(page, (rights.get(page) ?? 0) | SEGMENT_PERMS[section.segment]);
    }
  }
  const regions: { -readonly [K in keyof Region]: Region[K] }[] = [];
  for (const page of [...rights.keys()].sort((a, b) => (a < b ? -1 : 1))) {
    // Code that shares a page with data is not written.
    const all = rights.get(page)!;
    const perms = all & Perm.EXEC ? all & ~Perm.WRITE : all;
    const last = regions.at(-1);
    if (last && last.perms === perms && last.address + BigInt(last.size) === page) last.size += PAGE_SIZE;
    else
      regions.push({
        name: `executable at 0x${page.toString(16)}`,
        address: page,
        size: PAGE_SIZE,
        perms,
        onUse: true,
      });
  }
  return regions;
}

/** The sections of an image that are in memory when entry code runs: without what an executable frees after boot. */
export function loadedSections(image: Image, { systemCode }: Platform): readonly PlacedSection[] {
  const [start, end] = systemCode.initial.map((name) => image.globals.get(name)?.address);
  if (start === undefined || end === undefined) return image.sections;
  return image.sections.filter((s) => !s.fixed || s.segment === 'percpu' || s.address < start || s.address >= end);
}
