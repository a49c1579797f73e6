/**
 * `--features`: which features the processor has on which the kernel has booted.
 *
 * Without it: those of a current processor of the profile's vendor on which a kernel has been booted with mitigations=off, on bare
 * metal. `none`: only what every 64-bit processor has. A list is the whole set; `default` in it stands for the default, and
 * `-name` takes one out: `default,pti,-smap`. `all`: each combination; `all:pti,smap`, each of these, the others as by default.
 */
import { InputError } from '../errors.js';
import type { Patchable } from './patch.js';

export type Vendor = 'intel' | 'amd';

/** The features of a processor. */
export interface FeatureSet {
  /** Sorted by number. */
  readonly names: readonly string[];
  readonly numbers: ReadonlySet<number>;
}

/** What `--features` says. */
export type FeatureRequest =
  | { readonly kind: 'set'; readonly words: readonly string[] }
  | { readonly kind: 'all'; readonly vary: readonly string[] | undefined };

/** The last line: Xen's own words for what it uses itself, and for what it leaves out without mitigations. */
const BOTH = `
  nopl rep_good erms fsrm lfence_rdtsc mfence_rdtsc xsave xsaveopt xsavec xsaves clflushopt clwb popcnt rdrand rdpid
  pcid invpcid invpcid_single smep smap fsgsbase
  xen_smep xen_smap ind_thunk_jmp sc_no_branch_harden sc_no_lock_harden
`;

/** By the profile's vendor; names that the kernel does not know are left out. */
const DEFAULTS: Readonly<Record<Vendor, readonly string[]>> = {
  intel: [...BOTH.trim().split(/\s+/), 'arch_perfmon', 'sysenter32'],
  amd: [...BOTH.trim().split(/\s+/), 'zen', 'vmmcall', 'syscall32'],
};

/** Code that asks for these does something that the machine has no part for. */
const LACKING: ReadonlyMap<string, string> = new Map([
  ['xenpv', 'a guest of Xen without hardware virtualization enters its kernel through the hypervisor'],
  ['tdx_guest', 'the TDX module is not modelled'],
  ['la57', 'addresses have 48 bits'],
  ['call_depth', 'call depth tracking makes new code at boot'],
  ['xen_shstk', 'shadow stacks are not modelled'],
]);

/** The first never comes without the second: giving the first brings it, taking the second out takes the first (arch/x86/kernel/cpu/bugs.c, cpuid-deps.c). */
export const NEEDS: readonly (readonly [feature: string, needed: string])[] = [
  ['srso', 'unret'],
  ['srso_alias', 'unret'],
  ['unret', 'rethunk'],
  ['retpoline_lfence', 'retpoline'],
  ['invpcid_single', 'pcid'],
];

/** Page-table isolation of Xen's own: no code is patched for it, and so it has no number. (Linux' is a feature like others.) */
export const XPTI = 'xpti';

/** Reads `--features`; undefined stands for the default. */
export function parseFeatures(text: string | undefined): FeatureRequest {
  if (text === undefined) return { kind: 'set', words: ['default'] };
  const all = /^all(?::(.*))?$/.exec(text.trim());
  const listed = all ? all[1] : text;
  const words = listed?.split(',').map((word) => word.trim());
  if (words?.some((word) => word === '' || word === '-')) {
    throw new InputError(
      `features '${text}': a name is missing; write names with commas between them, for example pti,fsgsbase,smap`,
    );
  }
  if (all) return { kind: 'all', vary: words };
  if (words!.includes('none') && words!.length > 1) {
    throw new InputError(`features '${text}': 'none' stands alone; leave it out, or the others`);
  }
  return { kind: 'set', words: words! };
}

/** The features that words name; an InputError for one that does not exist, or that the machine lacks. */
export function featureSet(subject: Patchable, words: readonly string[], vendor: Vendor): FeatureSet {
  const numbers = new Set<number>();
  const option = `features '${words.join(',')}'`;
  for (const word of words) {
    if (word === 'none' || (word === XPTI && subject.kernel === 'xen')) continue;
    if (word === 'default') {
      for (const name of DEFAULTS[vendor]) {
        const number = subject.names.known(name);
        if (number !== undefined) numbers.add(number);
      }
    } else if (word.startsWith('-')) {
      remove(subject, numbers, subject.names.number(word.slice(1), option));
    } else {
      const number = subject.names.number(word, option);
      const why = LACKING.get(subject.names.name(number));
      if (why !== undefined) {
        throw new InputError(`${option}: the machine has no ${subject.names.name(number)}: ${why}; leave it out`);
      }
      numbers.add(number);
    }
  }
  addNeeded(subject, numbers);
  return setOf(subject, numbers);
}

function remove(subject: Patchable, numbers: Set<number>, number: number): void {
  numbers.delete(number);
  const name = subject.names.name(number);
  for (const [feature, needed] of NEEDS) {
    const other = needed === name ? subject.names.known(feature) : undefined;
    if (other !== undefined && numbers.has(other)) remove(subject, numbers, other);
  }
}

/** Adds what the features need. In place. */
export function addNeeded(subject: Patchable, numbers: Set<number>): void {
  // In the order of NEEDS, what is needed comes after what needs it.
  for (const [feature, needed] of NEEDS) {
    const [number, other] = [subject.names.known(feature), subject.names.known(needed)];
    if (number !== undefined && other !== undefined && numbers.has(number)) numbers.add(other);
  }
}

/** Whether the machine can have a feature. */
export function isModelled(name: string): boolean {
  return !LACKING.has(name);
}

export function setOf(subject: Patchable, numbers: ReadonlySet<number>): FeatureSet {
  const sorted = [...numbers].sort((a, b) => a - b);
  return { names: sorted.map((number) => subject.names.name(number)), numbers: new Set(sorted) };
}
