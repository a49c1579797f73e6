/**
 * The features of the processor that real code is patched for, and what they mean to the machine: control registers, and with
 * page-table isolation a second address space. What they are called, and the patching, are src/patching/'s.
 */
import { InputError } from '../errors.js';
import type { Image } from '../image/image.js';
import { featureSet, parseFeatures, type Vendor, XPTI } from '../patching/features.js';
import { type AddressRange, askedFeatures, type Patchable, patchable, patched } from '../patching/patch.js';

/** CR4 (SDM vol. 3, 2.5) with features that the system software then enables. */
const CR4_OF: Readonly<Record<string, bigint>> = {
  fsgsbase: 1n << 16n,
  smep: 1n << 20n,
  smap: 1n << 21n,
};
/** Xen's: it enables what it uses itself, whatever its guests are offered. */
const XEN_CR4_OF: Readonly<Record<string, bigint>> = { xen_smep: CR4_OF.smep!, xen_smap: CR4_OF.smap! };
const CR4_PCIDE = 1n << 17n;

/** That of Linux. */
const PTI = 'pti';

/** What an image has been patched for. */
export interface ImageFeatures {
  /** As they were asked for: `default`, `pti` … */
  readonly words: readonly string[];
  /** Those of them that the entry code asks for. */
  readonly present: readonly string[];
  /** Bits of CR4. */
  readonly control: bigint;
  /** Page-table isolation is among them. */
  readonly isolation: boolean;
  /** Process-context identifiers are in use: CR3 has the process's. */
  readonly pcid: boolean;
}

/** The words of one set of features; undefined, if none are given: the default. An InputError for `all`, which is many. */
export function featureWords(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const request = parseFeatures(text);
  if (request.kind === 'set') return request.words.map((word) => word.toLowerCase().replace(/^x86_feature_/, ''));
  throw new InputError(`features '${text}': stands for many sets; only explore runs them all, name one here`);
}

/** What features mean to the machine. */
export type ProcessorFeatures = Pick<ImageFeatures, 'control' | 'isolation' | 'pcid'>;

export function processorFeatures(
  code: Patchable,
  words: readonly string[],
  names: readonly string[],
): ProcessorFeatures {
  return {
    control: controlBits(code, names),
    isolation: names.includes(PTI) || words.includes(XPTI),
    pcid: usesPcid(code, names),
  };
}

/** The image as it runs on a processor with the features; the image itself if nothing in it is patched. */
export function withFeatures(
  image: Image,
  words: readonly string[] | undefined,
  vendor: Vendor,
  entry: readonly AddressRange[] | undefined,
): { readonly image: Image; readonly features: ImageFeatures | undefined } {
  const code = patchable(image);
  if (code === undefined) {
    if (words === undefined) return { image, features: undefined };
    throw new InputError(
      `features '${words.join(',')}': nothing in ${image.tested.join(', ')} depends on them; leave them out (they are for kernel code with .altinstructions)`,
    );
  }
  const all = words ?? ['default'];
  const { names, numbers } = featureSet(code, all, vendor);
  const asked = askedFeatures(code, entry).map(({ name }) => name);
  return {
    image: patched(code, numbers).image,
    features: {
      words: all,
      present: [...asked.filter((name) => names.includes(name)), ...all.filter((name) => name === XPTI)],
      ...processorFeatures(code, all, names),
    },
  };
}

/** Xen uses identifiers for PV guests in some of its modes only, which are not modelled. */
function usesPcid({ kernel }: Patchable, names: readonly string[]): boolean {
  return kernel === 'linux' && names.includes('pcid');
}

function controlBits(code: Patchable, names: readonly string[]): bigint {
  const of = code.kernel === 'xen' ? XEN_CR4_OF : CR4_OF;
  const bits = names.reduce((all, name) => all | (of[name] ?? 0n), 0n);
  return usesPcid(code, names) ? bits | CR4_PCIDE : bits;
}

/** CR4.FSGSBASE, which images have on that are not patched for anything. */
export const FSGSBASE = CR4_OF.fsgsbase!;
