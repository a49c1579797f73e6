/** What the features of one image are called: by its own table of names, by the header in its sources, by a table of entrace's. */
import { InputError } from '../errors.js';
import { didYouMean } from '../suggestion.js';
import { type FeatureName, LINUX_FEATURES } from './linux_features.js';
import type { PatchedMemory } from './memory.js';
import { xenFeatures } from './xen_features.js';

/** Whose numbers they are. */
export type Kernel = 'linux' | 'xen';

/** Longest name in a kernel's table. */
const LONGEST_NAME = 32;
/** More words of bits than any kernel has. */
const MOST_NUMBERS = 32 * 32;

export class FeatureNames {
  private readonly names = new Map<number, string>();
  private readonly numbers = new Map<string, number>();

  private constructor(features: readonly FeatureName[]) {
    // What is said first counts: of the number, and of the name.
    for (const { number, name, alias } of features) {
      if (!this.names.has(number)) this.names.set(number, name);
      for (const word of [name, alias]) {
        if (word !== undefined && !this.numbers.has(word)) this.numbers.set(word, number);
      }
    }
  }

  /** `used`: the numbers that the image's code asks for. */
  static of(memory: PatchedMemory, kernel: Kernel, used: readonly number[]): FeatureNames {
    if (kernel === 'xen') return new FeatureNames(xenFeatures(used));
    return new FeatureNames([...fromSources(memory.image.sources), ...fromKernel(memory), ...LINUX_FEATURES]);
  }

  /** The name of a number; `word*32+bit` if it has none. */
  name(number: number): string {
    return this.names.get(number) ?? `${number >> 5}*32+${number & 31}`;
  }

  /** The number of a name that the kernel's own code uses; undefined if this kernel has no such feature. */
  known(name: string): number | undefined {
    return this.numbers.get(name);
  }

  /** The number of a name in any case, with or without `X86_FEATURE_`, or of `word*32+bit`; an InputError if there is none. */
  number(text: string, option: string): number {
    const word = text
      .toLowerCase()
      .replace(/^x86_feature_/, '')
      .replace(/^x86_bug_/, 'bug_');
    const product = /^(\d{1,2})\*32\+(\d{1,2})$/.exec(word);
    if (product && Number(product[2]) < 32) return Number(product[1]) * 32 + Number(product[2]);
    const number = this.numbers.get(word);
    if (number === undefined) {
      throw new InputError(
        `${option}: there is no feature '${text}'${didYouMean(word, [...this.numbers.keys()])}; names are those of /proc/cpuinfo, or of X86_FEATURE_… in lower case`,
      );
    }
    return number;
  }
}

/** The feature header, if a source has included it: it is the header of the very tree. */
function fromSources(sources: ReadonlyMap<string, string>): FeatureName[] {
  const found: FeatureName[] = [];
  for (const [file, text] of sources) {
    if (!/(^|\/)cpufeatures\.h$/.test(file)) continue;
    for (const match of text.matchAll(
      /^#define X86_FEATURE_(\w+)\s+\(\s*(\d+)\s*\*\s*32\s*\+\s*(\d+)\s*\)[ \t]*(?:\/\*[ \t]*"(\w*)")?/gm,
    )) {
      const [, name, word, bit, alias] = match;
      found.push({ number: Number(word) * 32 + Number(bit), name: name!.toLowerCase(), alias: alias || undefined });
    }
  }
  return found;
}

/** The names that a kernel prints in /proc/cpuinfo: arrays of pointers, null for what it does not print. */
function fromKernel(memory: PatchedMemory): FeatureName[] {
  const features = namesAt(memory, 'x86_cap_flags');
  const bugs = namesAt(memory, 'x86_bug_flags');
  const known = new Map(LINUX_FEATURES.map((f) => [f.alias ?? f.name, f.name]));
  return [
    ...features.names.map(({ number, name }) => ({ number, name: known.get(name) ?? name, alias: name })),
    // The bugs' words follow those of the features.
    ...bugs.names.map(({ number, name }) => ({
      number: features.count + number,
      name: `bug_${name}`,
      alias: undefined,
    })),
  ];
}

/** The strings of such an array, and how many pointers it has, which is a whole number of words of bits. */
function namesAt(
  memory: PatchedMemory,
  symbol: string,
): { readonly names: readonly { readonly number: number; readonly name: string }[]; readonly count: number } {
  const start = memory.image.find(symbol)?.address;
  if (start === undefined) return { names: [], count: 0 };
  let end = start + BigInt(8 * MOST_NUMBERS);
  for (const { address } of memory.image.symbols) if (address > start && address < end) end = address;
  const count = 32 * Math.floor(Number(end - start) / (8 * 32));
  const names = Array.from({ length: count }, (_, number) => {
    const pointer = memory.pointer(start + BigInt(8 * number));
    return { number, name: (pointer ? memory.text(pointer, LONGEST_NAME) : undefined) ?? '' };
  });
  return { names: names.filter(({ name }) => /^\w+$/.test(name)), count };
}
