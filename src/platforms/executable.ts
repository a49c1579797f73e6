/** A whole executable in memory: which pages it needs, and which of its functions stand-ins take the place of. */
import { Decoder, DecoderOptions, FlowControl } from 'iced-x86';
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
  for (const name of through) {
    if (!byName.has(name)) throw new InputError(`--through ${name}: ${executable.name} has no function ${name}`);
  }
  const names = new Set([...platform.cParts, ...platform.bodies].filter((name) => byName.has(name)));
  for (const symbol of calledFromEntry(executable, platform, byName, byPlace)) {
    if (!platform.systemCode.helpers.test(symbol.name)) names.add(symbol.name);
  }
  for (const name of through) names.delete(name);
  return names;
}

/** The functions outside of the entry code that it calls, or jumps to, directly. */
function calledFromEntry(
  { name, sections }: Module,
  { systemCode }: Platform,
  byName: ReadonlyMap<string, ModuleSymbol>,
  byPlace: ReadonlyMap<string, ModuleSymbol>,
): ModuleSymbol[] {
  const [start, end] = systemCode.entryText.map((symbol) => byName.get(symbol));
  if (!start || !end || start.section !== end.section) {
    throw new InputError(
      `${name}: ${systemCode.entryText.join(' and ')} do not say where the entry code lies; give a file with its symbol table`,
    );
  }
  const section = sections.find((s) => s.name === start.section)!;
  const address = (value: bigint): bigint => section.address! + value;
  const decoder = new Decoder(64, section.data.subarray(Number(start.value), Number(end.value)), DecoderOptions.None);
  decoder.ip = address(start.value);
  const found = new Set<ModuleSymbol>();
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    const { flowControl } = instruction;
    if (flowControl === FlowControl.Call || flowControl === FlowControl.UnconditionalBranch) {
      const target = instruction.nearBranchTarget - section.address!;
      const symbol = byPlace.get(`${section.name} ${target}`);
      if (symbol && (target < start.value || target >= end.value)) found.add(symbol);
    }
    instruction.free();
  }
  decoder.free();
  return [...found];
}

/** The regions of an image's fixed sections but per-CPU data: whole pages, with the rights of all sections that lie in them. */
export function fixedRegions(image: Image, { systemCode }: Platform): Region[] {
  const isInitial = initialCode(image, systemCode.initial);
  const sections = image.sections.filter((s) => s.fixed && s.segment !== 'percpu' && !isInitial(s));
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

/** Which sections are freed after boot, and so not in memory. */
function initialCode(image: Image, [from, to]: readonly [string, string]): (section: PlacedSection) => boolean {
  const start = image.globals.get(from)?.address;
  const end = image.globals.get(to)?.address;
  if (start === undefined || end === undefined) return () => false;
  return ({ address }) => address >= start && address < end;
}

/** The sections of an image that are in memory when entry code runs. */
export function loadedSections(image: Image, { systemCode }: Platform): PlacedSection[] {
  const isInitial = initialCode(image, systemCode.initial);
  return image.sections.filter((s) => !s.fixed || s.segment === 'percpu' || !isInitial(s));
}
