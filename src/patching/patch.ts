/** A linked image as a kernel that has booted on a processor runs it. */
import { InputError } from '../errors.js';
import { Image, type PlacedSection } from '../image/image.js';
import type { LineRow } from '../image/module.js';
import { type Alternatives, applyAlternatives, type Patch, readAlternatives } from './alternatives.js';
import { FeatureNames, type Kernel } from './feature_names.js';
import { kernelVersion } from './kernel_version.js';
import { PatchedMemory } from './memory.js';
import { patchedRows } from './rows.js';

/** What an image says about patching, read once. */
export interface Patchable {
  readonly image: Image;
  readonly kernel: Kernel;
  readonly names: FeatureNames;
  readonly alternatives: Alternatives | undefined;
}

/** Features that the code under test asks for. */
export interface AskedFeature {
  readonly number: number;
  readonly name: string;
  /** Places that depend on it. */
  readonly sites: number;
}

/** A patched site, in the order in which they were written. */
export interface PatchedSite {
  readonly address: bigint;
  readonly size: number;
  /** `pti`, `!always` …; undefined where only NOPs have been merged. */
  readonly by: string | undefined;
}

export interface PatchedImage {
  readonly image: Image;
  readonly sites: readonly PatchedSite[];
}

/** A range of addresses; the end is not in it. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Reads the tables of an image; undefined if it has none, and so is what it is. */
export function patchable(image: Image): Patchable | undefined {
  const memory = new PatchedMemory(image);
  const alternatives = readAlternatives(memory, kernelVersion(memory));
  if (!alternatives) return undefined;
  const { kernel, entries } = alternatives;
  const used = [...new Set(entries.map((e) => e.feature))];
  return { image, kernel, names: FeatureNames.of(memory, kernel, used), alternatives };
}

/** The features that code in these ranges (everywhere, if there are none) asks for, by number. */
export function askedFeatures(subject: Patchable, ranges?: readonly AddressRange[]): AskedFeature[] {
  const sites = new Map<number, number>();
  for (const { original, feature } of subject.alternatives?.entries ?? []) {
    if (ranges && !ranges.some((r) => original >= r.start && original < r.end)) continue;
    if (feature === alwaysPresent(subject.kernel)) continue;
    sites.set(feature, (sites.get(feature) ?? 0) + 1);
  }
  return [...sites]
    .sort(([a], [b]) => a - b)
    .map(([number, count]) => ({ number, name: subject.names.name(number), sites: count }));
}

/** The number that every processor has: X86_FEATURE_ALWAYS; in Xen LM stands for it. */
export function alwaysPresent(kernel: Kernel): number {
  return kernel === 'linux' ? 3 * 32 + 21 : 2 * 32 + 29;
}

/** The image on a processor with these features (and no others); numbers of the image's own kernel. */
export function patched(subject: Patchable, features: ReadonlySet<number>): PatchedImage {
  const { image, kernel, names, alternatives } = subject;
  const memory = new PatchedMemory(image);
  const has = (feature: number): boolean => feature === alwaysPresent(kernel) || features.has(feature);
  const patches: Patch[] = [];
  if (alternatives) {
    patches.push(
      ...applyAlternatives(
        memory,
        alternatives,
        has,
        (entry) => (entry.inverted ? '!' : '') + names.name(entry.feature),
      ),
    );
  }
  return { image: imageOf(memory, patches), sites: patches };
}

function imageOf(memory: PatchedMemory, patches: readonly Patch[]): Image {
  const { image } = memory;
  if (patches.length === 0) return image;
  const bySection = new Map<PlacedSection, Patch[]>();
  for (const patch of patches) {
    const section = memory.sectionAt(patch.address, patch.size);
    if (!section) throw new InputError(`0x${patch.address.toString(16)}: a patch lies outside of the image`);
    const known = bySection.get(section);
    if (known) known.push(patch);
    else bySection.set(section, [patch]);
  }
  const rowAt = rowFinder(memory);
  const sections = image.sections.map((section) => {
    const own = bySection.get(section);
    return own
      ? { ...section, data: memory.bytesOf(section), lines: patchedRows(memory, section, own, rowAt) }
      : section;
  });
  return new Image(sections, image.symbols, image.tested, image.sources);
}

/** Finds the row of an address; each section's rows are indexed when one is asked for. */
function rowFinder(memory: PatchedMemory): (address: bigint) => LineRow | undefined {
  const indices = new Map<PlacedSection, ReadonlyMap<number, LineRow>>();
  return (address) => {
    const section = memory.sectionAt(address);
    if (!section) return undefined;
    let rows = indices.get(section);
    if (!rows) {
      rows = new Map(section.lines.map((row) => [row.offset, row]));
      indices.set(section, rows);
    }
    return rows.get(Number(address - section.address));
  };
}
