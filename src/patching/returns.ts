/** `jmp __x86_return_thunk`: a RET, or a jump to the thunk that the chosen mitigation returns through (apply_returns()). */
import type { Patch } from './alternatives.js';
import { branch, branchSites, INT3, JMP, RET } from './branch_sites.js';
import type { PatchedMemory } from './memory.js';

const TABLE = { section: '.return_sites', start: '__return_sites', end: '__return_sites_end' };
const COMPILED = '__x86_return_thunk';

/** Thunks in the order in which arch/x86/kernel/cpu/bugs.c lets them replace one another, and the feature that asks for each. */
const THUNKS: readonly (readonly [feature: string, symbol: string])[] = [
  ['srso_alias', 'srso_alias_return_thunk'],
  ['srso', 'srso_return_thunk'],
  ['unret', 'retbleed_return_thunk'],
];
/** Without one of these features, ITS is the reason for return thunks. */
const ITS_THUNK = 'its_return_thunk';

export interface ReturnThunk {
  readonly address: bigint;
  readonly feature: string;
  /** Returns in the upper half of a cache line need no thunk. */
  readonly lowerHalfOnly: boolean;
}

/** What `x86_return_thunk` points to with these features; undefined without return thunks. */
export function returnThunk(memory: PatchedMemory, has: (feature: string) => boolean): ReturnThunk | undefined {
  if (!has('rethunk')) return undefined;
  const { image } = memory;
  for (const [feature, symbol] of THUNKS) {
    const address = image.find(symbol)?.address;
    if (address !== undefined && has(feature)) return { address, feature, lowerHalfOnly: false };
  }
  const its = THUNKS.some(([feature]) => has(feature)) ? undefined : image.find(ITS_THUNK)?.address;
  if (its !== undefined) return { address: its, feature: 'rethunk', lowerHalfOnly: true };
  const compiled = image.find(COMPILED)?.address;
  return compiled === undefined ? undefined : { address: compiled, feature: 'rethunk', lowerHalfOnly: false };
}

/** Whether a return at an address goes through the thunk (cpu_wants_rethunk_at()). */
export function wantsThunk(thunk: ReturnThunk | undefined, address: bigint): thunk is ReturnThunk {
  return thunk !== undefined && !(thunk.lowerHalfOnly && (address & 0x20n) !== 0n);
}

export function applyReturns(memory: PatchedMemory, thunk: ReturnThunk | undefined): Patch[] {
  const compiled = memory.image.find(COMPILED)?.address;
  if (compiled === undefined) return [];
  return branchSites(memory, TABLE, new Set([compiled])).flatMap(({ address, bytes, opcode, target }) => {
    if (opcode !== JMP || target !== compiled) return [];
    const after = new Uint8Array(bytes.length).fill(INT3);
    const through = wantsThunk(thunk, address);
    if (through) after.set(branch(JMP, address, thunk.address));
    else after[0] = RET;
    memory.write(address, after);
    const by = through ? thunk.feature : '!rethunk';
    return [{ address, size: bytes.length, by, from: undefined }];
  });
}
