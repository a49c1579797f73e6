/** `--features all`: each set of features that makes other code, once. */
import { InputError } from '../errors.js';
import { addNeeded, type FeatureSet, featureSet, isModelled, NEEDS, setOf, type Vendor } from './features.js';
import { type AddressRange, alwaysPresent, askedFeatures, type Patchable } from './patch.js';

/** One code, and the features that lead to it. */
export interface FeatureCombination {
  /** The smallest of the sets. */
  readonly features: FeatureSet;
  /** Names of what varies and is present, in each of the sets that lead to the same code; the smallest set first. */
  readonly sets: readonly (readonly string[])[];
  /** What makes the code. */
  readonly code: CodeChoice;
}

/** What tells the codes of two sets of features apart. */
export interface CodeChoice {
  /** By the address of a patched place: how many bytes it has, and the entry that it gets last. */
  readonly places: ReadonlyMap<bigint, { readonly size: number; readonly entry: number }>;
  /** What becomes of returns and indirect branches everywhere. */
  readonly thunks: string;
}

/** The places that are patched in any of these codes, and their bytes. */
export function patchedPlaces(codes: readonly CodeChoice[]): ReadonlyMap<bigint, number> {
  const sizes = new Map<bigint, number>();
  for (const { places } of codes) {
    for (const [address, { size }] of places) sizes.set(address, Math.max(size, sizes.get(address) ?? 0));
  }
  return sizes;
}

/** Those of the patched places that executed instructions lie in. */
export function executedPlaces(
  sizes: ReadonlyMap<bigint, number>,
  executed: readonly { readonly address: bigint; readonly length: number }[],
): bigint[] {
  return [...sizes]
    .filter(([start, size]) =>
      executed.some(({ address, length }) => address < start + BigInt(size) && address + BigInt(length) > start),
    )
    .map(([address]) => address);
}

/** Whether two codes of one image are the same in these places, and in what becomes of returns and indirect branches. */
export function sameCode(a: CodeChoice, b: CodeChoice, places: readonly bigint[]): boolean {
  return a.thunks === b.thunks && places.every((at) => a.places.get(at)?.entry === b.places.get(at)?.entry);
}

/** More than so many sets are not gone through. */
const MOST_SETS = 1 << 16;

/** No kernel sets two of these: ways of doing the same. */
const EXCLUSIVE: readonly (readonly string[])[] = [
  ['srso', 'srso_alias', 'entry_ibpb'],
  ['unret', 'entry_ibpb'],
  ['unret', 'kernel_ibrs'],
  ['clear_bhb_loop', 'clear_bhb_hw'],
  ['clear_bhb_loop', 'unret'],
  ['retpoline', 'indirect_thunk_its'],
];
/** What the boot code does to returns and indirect branches everywhere. */
const EVERYWHERE = ['retpoline', 'retpoline_lfence', 'rethunk', 'indirect_thunk_its'];

/**
 * The features that vary: those that are named, or all that the code in the ranges asks for, as far as the machine can have
 * them.
 */
function varying(
  subject: Patchable,
  ranges: readonly AddressRange[] | undefined,
  vary: readonly string[] | undefined,
): number[] {
  if (vary) return [...featureSet(subject, vary, 'intel').numbers];
  const asked = askedFeatures(subject, ranges).filter(({ name }) => isModelled(name));
  return asked.map(({ number }) => number);
}

/**
 * The combinations of features that make different code in the ranges (in all code, without ranges). What is not varied is as by
 * default.
 */
export function combinations(
  subject: Patchable,
  vendor: Vendor,
  ranges?: readonly AddressRange[],
  vary?: readonly string[],
): FeatureCombination[] {
  const features = varying(subject, ranges, vary);
  const names = features.map((number) => subject.names.name(number));
  const hint = 'name those that are to vary: --features all:pti,fsgsbase,smap';
  if (2 ** features.length > MOST_SETS) {
    throw new InputError(
      `--features all: the code asks for ${features.length} features (${names.join(', ')}), which makes too many sets; ${hint}`,
    );
  }
  const fixed = new Set(featureSet(subject, ['default'], vendor).numbers);
  for (const number of features) fixed.delete(number);
  const groups = new Map<string, { sets: string[][]; numbers: Set<number>; code: CodeChoice }>();
  const sets = Array.from({ length: 2 ** features.length }, (_, bits) => bits).sort(
    (a, b) => ones(a) - ones(b) || a - b,
  );
  const choose = codeChoice(subject, ranges);
  for (const bits of sets) {
    const present = names.filter((_, i) => (bits >> i) & 1);
    if (!isPlausible(new Set(present), new Set(names))) continue;
    const numbers = new Set(fixed);
    features.forEach((number, i) => {
      if ((bits >> i) & 1) numbers.add(number);
    });
    addNeeded(subject, numbers);
    const code = choose(numbers);
    const key = `${[...code.places.values()].map(({ entry }) => entry).join(' ')} / ${code.thunks}`;
    const group = groups.get(key);
    if (group) group.sets.push(present);
    else groups.set(key, { sets: [present], numbers, code });
  }
  return [...groups.values()].map((group) => ({
    features: setOf(subject, group.numbers),
    sets: group.sets,
    code: group.code,
  }));
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function isPlausible(present: ReadonlySet<string>, vary: ReadonlySet<string>): boolean {
  if (NEEDS.some(([feature, needed]) => present.has(feature) && vary.has(needed) && !present.has(needed))) return false;
  return !EXCLUSIVE.some((group) => group.filter((name) => present.has(name)).length > 1);
}

function codeChoice(
  subject: Patchable,
  ranges: readonly AddressRange[] | undefined,
): (features: ReadonlySet<number>) => CodeChoice {
  const all = subject.alternatives?.entries ?? [];
  const entries = ranges ? all.filter((e) => ranges.some((r) => e.original >= r.start && e.original < r.end)) : all;
  const everywhere = [...EVERYWHERE, 'unret', 'srso', 'srso_alias'].flatMap((name) => subject.names.known(name) ?? []);
  const always = alwaysPresent(subject.kernel);
  return (features) => {
    const places = new Map<bigint, { readonly size: number; readonly entry: number }>();
    entries.forEach(({ original, size, feature, inverted }, entry) => {
      if ((features.has(feature) || feature === always) !== inverted) places.set(original, { size, entry });
    });
    // Return thunks have a say only where there are any.
    const thunks = subject.hasThunks ? everywhere.filter((number) => features.has(number)) : [];
    return { places, thunks: thunks.join(' ') };
  };
}
