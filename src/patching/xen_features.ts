/**
 * Xen's numbers for processor features. The words that CPUID fills (public/arch-x86/cpufeatureset.h) hold the same bits as some
 * of Linux'. Behind them, at a place that moves, come a word of Xen's own and one of bugs (asm/cpufeatures.h).
 */
import { type FeatureName, LINUX_FEATURES } from './linux_features.js';

/** Xen's words and those of Linux that hold the same CPUID register. */
const SAME_WORDS: readonly (readonly [xen: number, linux: number])[] = [
  [0, 0],
  [1, 4],
  [2, 1],
  [3, 6],
  [4, 10],
  [5, 9],
  [6, 16],
  [9, 18],
];

/** Bits of the synthetic word, from Xen 4.14 on. */
const SYNTHETIC: Readonly<Record<number, string>> = {
  0: 'constant_tsc',
  1: 'nonstop_tsc',
  2: 'arat',
  3: 'arch_perfmon',
  4: 'tsc_reliable',
  5: 'xtopology',
  6: 'cpuid_faulting',
  8: 'aperfmperf',
  9: 'mfence_rdtsc',
  10: 'xen_smep',
  11: 'xen_smap',
  12: 'sc_no_lock_harden',
  13: 'ind_thunk_lfence',
  14: 'ind_thunk_jmp',
  15: 'sc_no_branch_harden',
  16: 'sc_msr_pv',
  17: 'sc_msr_hvm',
  18: 'sc_rsb_pv',
  19: 'sc_rsb_hvm',
  20: 'xen_selfsnoop',
  21: 'sc_msr_idle',
  22: 'xen_lbr',
  23: 'sc_div',
  24: 'sc_rsb_idle',
  25: 'sc_verw_idle',
  26: 'xen_shstk',
  27: 'xen_ibt',
  28: 'ibpb_entry_pv',
  29: 'ibpb_entry_hvm',
};

/** Bits of the word of bugs, which from 16 on holds choices about speculation. */
const BUGS: Readonly<Record<number, string>> = {
  0: 'bug_fpu_ptrs',
  1: 'bug_null_seg',
  2: 'bug_clflush_mfence',
  3: 'bug_ibpb_no_ret',
  4: 'bug_clflush_monitor',
  16: 'spec_no_lfence_entry_pv',
  17: 'spec_no_lfence_entry_intr',
  18: 'spec_no_lfence_entry_vmx',
  19: 'spec_bhb_tsx',
  20: 'spec_bhb_loops',
  21: 'spec_bhb_loops_long',
};

/** The bit of the synthetic word that all entry code asks for: XEN_SMAP. */
const SMAP_BIT = 11;
/** No Xen with this word has fewer words of CPUID. */
const FIRST_SYNTHETIC = 9;

/** Names of all numbers, if these are the numbers that the image's code asks for. */
export function xenFeatures(used: readonly number[]): FeatureName[] {
  const word = used.map((number) => number >> 5).find((w, i) => w >= FIRST_SYNTHETIC && (used[i]! & 31) === SMAP_BIT);
  const named = (base: number, bits: Readonly<Record<number, string>>): FeatureName[] =>
    Object.entries(bits).map(([bit, name]) => ({ number: base * 32 + Number(bit), name, alias: undefined }));
  return [
    ...(word === undefined ? [] : [...named(word, SYNTHETIC), ...named(word + 1, BUGS)]),
    ...SAME_WORDS.flatMap(([xen, linux]) =>
      LINUX_FEATURES.filter(({ number }) => number >> 5 === linux).map((f) => ({
        ...f,
        number: xen * 32 + (f.number & 31),
      })),
    ),
  ];
}
