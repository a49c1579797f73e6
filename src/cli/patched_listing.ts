/** What of an image `entrace asm --list` shows: code as a processor with given features runs it, each change with its feature. */
import { lastAt } from '../binary_search.js';
import type { Disassembler } from '../cpu/disassembler.js';
import { InputError } from '../errors.js';
import { addressOf, type Range, rangesOf } from '../hooks/triggers.js';
import type { Image, ImageSymbol, PlacedSection } from '../image/image.js';
import { link, undefinedSymbols } from '../image/linker.js';
import type { LineRow, Module, ModuleSection } from '../image/module.js';
import { featureSet, parseFeatures } from '../patching/features.js';
import { lengthAt } from '../patching/nops.js';
import { askedFeatures, type PatchedSite, patchable, patched } from '../patching/patch.js';
import { platformNamed } from '../platforms/index.js';
import { listing } from './asm_listing.js';

export interface PatchedListingOptions {
  /** As `--features` has it; undefined leaves everything unpatched. */
  readonly features: string | undefined;
  /** `LABEL` (to the next function), `LABEL+n`, `LABEL..LABEL`; undefined for all code of an object. */
  readonly only: readonly string[] | undefined;
}

/** Undefined symbols of an object: within reach of its code, and where nothing else is. */
const ELSEWHERE = 0xffffffffa0000000n;

export function patchedListing(module: Module, options: PatchedListingOptions, disassembler: Disassembler): string {
  const isExecutable = module.sections.some((section) => section.address !== undefined);
  if (isExecutable && !options.only) {
    throw new InputError(`${module.name}: is a whole program; name what to list: --only LABEL or --only LABEL..LABEL`);
  }
  const elsewhere = undefinedSymbols([module], {}).map(
    (symbol, i) => [symbol.name, ELSEWHERE + BigInt(16 * i)] as const,
  );
  const linked = link([module], {
    layout: platformNamed('linux').layout,
    absolute: Object.fromEntries(elsewhere),
    tested: [module],
  });
  const { image, sites, head } = withFeatures(linked, options.features);
  // Boundaries are counted in the code as it is listed.
  const ranges = options.only?.flatMap((text) => listedRange(image, text));
  const windows = ranges
    ? ranges.map((range) => windowOf(image, range))
    : image.sections
        .filter((s) => s.segment.endsWith('text') && s.name !== '.altinstr_replacement')
        .map((s) => wholeOf(s));
  const names = new AddressNames(image);
  const references = new Map(elsewhere.map(([name, address]) => [BigInt.asUintN(64, address), name]));
  const order = [...sites].sort((a, b) => (a.address < b.address ? -1 : 1));
  const text = windows.map(({ section, start, rows }) => {
    const own = names.within(section, start, start + BigInt(rows.data.length));
    const shown: Module = { ...module, sections: [rows], symbols: own };
    return listing(shown, disassembler, {
      base: start,
      shown: isExecutable ? start : start - section.address,
      note: (offset) => noteOf(order, start + BigInt(offset)),
      name: (address) => names.at(address),
      reference: (address) => references.get(address),
    });
  });
  return [head(ranges), ...text].join('\n');
}

/** The image as it runs, and what stands above its listing. */
function withFeatures(
  image: Image,
  text: string | undefined,
): {
  readonly image: Image;
  readonly sites: readonly PatchedSite[];
  readonly head: (ranges: readonly Range[] | undefined) => string;
} {
  if (text === undefined) return { image, sites: [], head: () => '' };
  const request = parseFeatures(text);
  if (request.kind === 'all') {
    throw new InputError(`--features '${text}': a listing is for one set of features; name them`);
  }
  const subject = patchable(image);
  if (!subject) {
    throw new InputError(
      `--features '${text}': nothing in ${image.tested.join(', ')} depends on features; leave the option out`,
    );
  }
  const chosen = featureSet(subject, request.words, 'intel');
  const head = (ranges: readonly Range[] | undefined): string => {
    const asked = askedFeatures(subject, ranges).map(({ name }) => name);
    const list = (names: readonly string[]): string => names.join(', ') || 'none that the code asks for';
    const present = asked.filter((name) => chosen.names.includes(name));
    const absent = asked.filter((name) => !chosen.names.includes(name));
    return `present:  ${list(present)}\nabsent:   ${list(absent)}\n`;
  };
  return { ...patched(subject, chosen.numbers), head };
}

/** A single label stands for everything up to the next function. */
function listedRange(image: Image, text: string): Range[] {
  if (text.includes('..')) return rangesOf(image, text);
  if (/\+\d+$|^0x/.test(text)) {
    const address = addressOf(image, text);
    const code = image.sectionAt(address);
    const length = code ? lengthAt(code.data, Number(address - code.address)) : undefined;
    return [{ start: address, end: address + BigInt(length ?? 1) }];
  }
  const start = addressOf(image, text);
  const section = image.sectionAt(start)!;
  const size = image.find(text)?.size ?? 0n;
  if (size > 0n) return [{ start, end: start + size }];
  let end = section.address + BigInt(section.size);
  for (const symbol of image.symbols) {
    const begins = symbol.binding !== 'local' || symbol.type === 'func';
    if (begins && symbol.section === section.name && symbol.address > start && symbol.address < end)
      end = symbol.address;
  }
  return [{ start, end }];
}

interface Window {
  readonly section: PlacedSection;
  readonly start: bigint;
  readonly rows: ModuleSection;
}

/** A part of a section as a section of its own. */
function windowOf(image: Image, { start, end }: Range): Window {
  const section = image.sectionAt(start);
  if (!section?.segment.endsWith('text') || end > section.address + BigInt(section.size)) {
    throw new InputError(
      `0x${start.toString(16)} to 0x${end.toString(16)} is not code of one section; name other labels`,
    );
  }
  const from = Number(start - section.address);
  const data = section.data.subarray(from, Number(end - section.address));
  const rows: LineRow[] = image.instructions(section, start, end).map((address) => {
    const offset = Number(address - start);
    const known = image.locate(address)?.line;
    return known ? { ...known, offset } : { offset, position: { file: '', line: 0 }, expandedFrom: [], text: '' };
  });
  return { section, start, rows: sectionOf(section, data, rows) };
}

function wholeOf(section: PlacedSection): Window {
  return { section, start: section.address, rows: sectionOf(section, section.data, section.lines) };
}

function sectionOf({ name }: PlacedSection, data: Uint8Array, lines: readonly LineRow[]): ModuleSection {
  const flags = { alloc: true, write: false, exec: true };
  return { name, data, size: data.length, align: 1, ...flags, relocations: [], lines };
}

/** The features that have written at an address, the last one first. */
function noteOf(sites: readonly PatchedSite[], address: bigint): string | undefined {
  // A site has at most 255 bytes, and several entries.
  const last = lastAt(sites.length, (i) => sites[i]!.address <= address);
  for (let i = last; i >= 0 && address - sites[i]!.address < 256n; i--) {
    const { address: start, size, by } = sites[i]!;
    if (by !== undefined && address < start + BigInt(size)) return by;
  }
  return undefined;
}

/** Names for addresses anywhere in the image. */
class AddressNames {
  private readonly symbols: readonly ImageSymbol[];

  constructor(image: Image) {
    this.symbols = image.symbols
      .filter((s) => s.type !== 'section' && !s.name.startsWith('.L') && s.name !== '*ABS*' && s.address !== 0n)
      .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  }

  /** `label+0x…`, or the label alone. */
  at(address: bigint): string | undefined {
    const symbol = this.symbols[this.after(address) - 1];
    if (!symbol) return undefined;
    const distance = address - symbol.address;
    return distance === 0n ? symbol.name : `${symbol.name}+0x${distance.toString(16)}`;
  }

  /** The labels of a part of a section, with offsets from its start. */
  within(section: PlacedSection, start: bigint, end: bigint): ImageSymbol[] {
    return this.symbols
      .slice(this.after(start - 1n), this.after(end - 1n))
      .filter((s) => s.section === section.name)
      .map((s) => ({ ...s, value: s.address - start }));
  }

  /** How many symbols lie at or before an address. */
  private after(address: bigint): number {
    return lastAt(this.symbols.length, (i) => this.symbols[i]!.address <= address) + 1;
  }
}
