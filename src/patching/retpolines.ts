/** CALL, JMP and Jcc of `__x86_indirect_thunk_REG`: what stands there without retpolines (apply_retpolines()). */
import type { Patch, PatchRules } from './alternatives.js';
import { type BranchSite, branch, branchSites, CALL, INT3, JMP } from './branch_sites.js';
import type { PatchedMemory } from './memory.js';
import { mergeSite } from './nops.js';

const TABLE = { section: '.retpoline_sites', start: '__retpoline_sites', end: '__retpoline_sites_end' };
const THUNK = '__x86_indirect_thunk_';
const THUNK_ARRAY = '__x86_indirect_thunk_array';
/** RETPOLINE_THUNK_SIZE in asm/nospec-branch.h. Bytes. */
const THUNK_SIZE = 32n;
const ITS_ARRAY = '__x86_indirect_its_thunk_array';
/** its_thunk_t in asm/nospec-branch.h. Bytes. */
const ITS_SIZE = 64n;
/** In the order of their numbers (SDM vol. 2, table 2-8). */
const REGISTERS = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];

export function applyRetpolines(memory: PatchedMemory, has: (feature: string) => boolean, rules: PatchRules): Patch[] {
  const thunks = thunkRegisters(memory);
  const lfence = has('retpoline_lfence');
  const sites = branchSites(memory, TABLE, new Set(thunks.keys()));
  // Compiled for retpolines: they stay.
  if (has('retpoline') && !lfence) return [];
  const its = has('indirect_thunk_its') ? memory.image.find(ITS_ARRAY)?.address : undefined;
  return sites.flatMap((site) => {
    const register = site.target === undefined ? undefined : thunks.get(site.target);
    if (register === undefined) return [];
    const [after, by] = indirect(site, register, lfence, its);
    if (!after) return [];
    mergeSite(after, rules);
    memory.write(site.address, after);
    return [{ address: site.address, size: after.length, by, from: undefined }];
  });
}

/** Addresses of the thunks, and the number of the register that each jumps through. */
function thunkRegisters({ image }: PatchedMemory): Map<bigint, number> {
  const found = new Map<bigint, number>();
  const array = image.find(THUNK_ARRAY)?.address;
  REGISTERS.forEach((register, number) => {
    const address = image.find(`${THUNK}${register}`)?.address;
    if (address !== undefined) found.set(address, number);
    else if (array !== undefined) found.set(array + BigInt(number) * THUNK_SIZE, number);
  });
  return found;
}

/**
 * The site without a thunk; nothing if that does not fit into it, and the feature it is for. Of ITS thunks the kernel makes new
 * ones in memory that it allocates; they hold what those of the image hold, to which it goes when there is no memory.
 */
function indirect(
  { address, bytes, opcode }: BranchSite,
  register: number,
  lfence: boolean,
  its: bigint | undefined,
): [after: Uint8Array | undefined, by: string] {
  const length = bytes.length;
  const code: number[] = [];
  let operation = opcode!;
  if (operation !== CALL && operation !== JMP) {
    // Jcc: over an indirect jump, on the opposite condition.
    code.push(0x70 | ((operation & 0xf) ^ 1), length - 2);
    operation = JMP;
  }
  if (lfence) code.push(0x0f, 0xae, 0xe8);
  const extended = register >= 8;
  const last = address + BigInt(code.length + 1 + (extended ? 1 : 0));
  if (its !== undefined && (last & 0x20n) === 0n) {
    const prefix = length - 5;
    const thunk = its + BigInt(register) * ITS_SIZE;
    const after = bytes.slice();
    after.set(branch(opcode!, address + BigInt(prefix), thunk), prefix);
    return [after, 'indirect_thunk_its'];
  }
  if (extended) code.push(0x41);
  code.push(0xff, 0xc0 | (operation === CALL ? 0x10 : 0x20) | (register & 7));
  if (operation === JMP && code.length < length) code.push(INT3);
  const by = lfence ? 'retpoline_lfence' : '!retpoline';
  if (code.length > length) return [undefined, by];
  const after = new Uint8Array(length).fill(0x90);
  after.set(code);
  return [after, by];
}
