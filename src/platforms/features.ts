/**
 * The processor's features that real code was built to be patched for, and what they mean to the machine. The numbers and the patching
 * are src/patching/'s.
 */
import { InputError } from '../errors.js';
import type { Image } from '../image/image.js';
import { alwaysPresent, askedFeatures, type Patchable, patchable, patched } from '../patching/patch.js';

/** CR4 (SDM vol. 3, 2.5) with features that the system software then enables. */
const CR4_OF: Readonly<Record<string, bigint>> = {
  fsgsbase: 1n << 16n,
  pcid: 1n << 17n,
  smep: 1n << 20n,
  smap: 1n << 21n,
  // What Xen uses itself, and not only its guests.
  xen_smep: 1n << 20n,
  xen_smap: 1n << 21n,
};

/** Page-table isolation of Xen's own: no alternative asks for it, and so it has no number. (Linux' is a feature like others.) */
const XPTI = 'xpti';
/** Process-context identifiers: CR3 then says which process's translations are meant. */
export const PCID = 'pcid';

/** What a Linux image gets if the user names no features: what each processor of the last ten years has. */
const USUAL: readonly string[] = ['fsgsbase', 'smap', 'smep'];

/** Features of machines that are not this one. */
const REFUSED: Readonly<Record<string, string>> = {
  xenpv: 'is for a kernel that runs as a PV guest of Xen, in ring 3, where there are no NMIs of the processor',
};

/** What `--features` says: the names, `none` for no feature at all; undefined if it is not given. */
export function parseFeatures(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',').map((name) => name.trim().toLowerCase());
  if (names.includes('')) throw new InputError(`--features '${text}': expected names like pti,fsgsbase, or none`);
  if (names.length > 1 && names.includes('none')) throw new InputError(`--features '${text}': none stands alone`);
  return names[0] === 'none' ? [] : names;
}

/** The image as it runs on a processor with the features, and their names; the image itself if nothing in it is patched. */
export function withFeatures(
  image: Image,
  features: readonly string[] | undefined,
): { readonly image: Image; readonly features: readonly string[] | undefined } {
  const code = patchable(image);
  if (code === undefined) {
    if (features === undefined) return { image, features };
    throw new InputError(
      `--features: nothing in ${image.tested.join(', ')} depends on them; leave the option out (it is for kernel code with .altinstructions)`,
    );
  }
  const chosen = features ?? usual(code);
  for (const name of chosen) {
    if (REFUSED[name] !== undefined) throw new InputError(`--features: ${name} ${REFUSED[name]}; leave it out`);
  }
  const numbered = code.kernel === 'xen' ? chosen.filter((name) => name !== XPTI) : chosen;
  const numbers = new Set(numbered.map((name) => code.names.number(name, '--features')));
  numbers.add(alwaysPresent(code.kernel));
  return { image: patched(code, numbers).image, features: chosen };
}

function usual(code: Patchable): readonly string[] {
  const asked = new Set(askedFeatures(code).map(({ name }) => name));
  return code.kernel === 'linux' ? USUAL.filter((name) => asked.has(name) || name === 'smep') : [];
}

/** The bits of CR4 that go with features. */
export function controlBits(features: readonly string[]): bigint {
  return features.reduce((bits, name) => bits | (CR4_OF[name] ?? 0n), 0n);
}
