/** A linked image as a kernel that has booted on a processor runs it. */
import { InputError } from '../errors.js';
import type { Image, PlacedSection } from '../image/image.js';
import type { LineRow } from '../image/module.js';
import {
  type Alternative,
  type Alternatives,
  applyAlternatives,
  linuxRules,
  type Patch,
  readAlternatives,
} from './alternatives.js';
import { sealEndbr } from './endbr.js';
import { FeatureNames, type Kernel } from './feature_names.js';
import { applyFtrace } from './ftrace.js';
import { type KernelVersion, kernelVersion } from './kernel_version.js';
import { PatchedMemory } from './memory.js';
import { applyParavirt } from './paravirt.js';
import { applyRetpolines } from './retpolines.js';
import { applyReturns, returnThunk } from './returns.js';
import { patchedRows } from './rows.js';
import { applyRuntimeConstants } from './runtime_constants.js';
import { applyStaticCalls } from './static_calls.js';

/** Where Linux code goes that is compiled for thunks. */
const THUNKS = ['__x86_return_thunk', '__x86_indirect_thunk_array', '__x86_indirect_thunk_rax'];

/** What an image says about patching, read once. */
export interface Patchable {
  readonly image: Image;
  readonly kernel: Kernel;
  /** Undefined for an object. */
  readonly version: KernelVersion | undefined;
  readonly names: FeatureNames;
  readonly alternatives: Alternatives | undefined;
  /** Its returns and indirect branches are compiled for thunks. */
  readonly hasThunks: boolean;
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
  const version = kernelVersion(memory);
  const alternatives = readAlternatives(memory, version);
  const kernel = alternatives?.kernel ?? 'linux';
  const hasThunks = kernel === 'linux' && THUNKS.some((name) => image.find(name) !== undefined);
  if (!alternatives && !hasThunks) return undefined;
  const used = [...new Set(alternatives?.entries.map((e) => e.feature))];
  return { image, kernel, version, names: FeatureNames.of(memory, kernel, used), alternatives, hasThunks };
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
  const { image, kernel, version, names, alternatives } = subject;
  const memory = new PatchedMemory(image);
  const has = (feature: number): boolean => feature === alwaysPresent(kernel) || features.has(feature);
  const patches: Patch[] = [];
  if (kernel === 'linux') {
    const named = (name: string): boolean => {
      const number = names.known(name);
      return number !== undefined && has(number);
    };
    if (named('call_depth')) {
      throw new InputError(
        'call depth tracking (the feature call_depth, retbleed=stuff) makes new code at boot, which is not modelled; leave the feature out',
      );
    }
    const thunk = returnThunk(memory, named);
    patches.push(
      ...applyStaticCalls(memory, thunk),
      ...applyFtrace(memory),
      ...applyRuntimeConstants(memory),
      ...applyParavirt(memory, version),
      ...applyRetpolines(memory, named, alternatives?.rules ?? linuxRules(version)),
      ...applyReturns(memory, thunk),
    );
  }
  if (alternatives) {
    const label = (entry: Alternative): string => (entry.inverted ? '!' : '') + names.name(entry.feature);
    patches.push(...applyAlternatives(memory, alternatives, has, label));
  }
  if (kernel === 'linux') patches.push(...sealEndbr(memory, version));
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
    return own ? patchedSection(memory, section, own, rowAt) : section;
  });
  return image.withSections(sections);
}

/** Its rows are made when somebody asks for them: of a whole kernel, most code is never looked at. */
function patchedSection(
  memory: PatchedMemory,
  section: PlacedSection,
  patches: readonly Patch[],
  rowAt: (address: bigint) => LineRow | undefined,
): PlacedSection {
  let rows: readonly LineRow[] | undefined;
  const { name, module, segment, address, loadAddress, size, fixed } = section;
  const common = { name, module, segment, address, loadAddress, size, fixed, data: memory.bytesOf(section) };
  if (fixed) return { ...common, lines: [] };
  return {
    ...common,
    get lines(): readonly LineRow[] {
      rows ??= patchedRows(memory, section, patches, rowAt);
      return rows;
    },
  };
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
