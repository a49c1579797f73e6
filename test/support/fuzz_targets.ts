/** The readers of files that other people make. */
import { ELF_TARGET } from '../elf/fuzz_target.js';
import { KERNEL_TARGETS } from '../kernel/fuzz_targets.js';
import { PATCHING_TARGET } from '../patching/fuzz_target.js';
import type { Target } from './fuzz.js';

export const TARGETS: readonly Target[] = [ELF_TARGET, ...KERNEL_TARGETS, PATCHING_TARGET];
