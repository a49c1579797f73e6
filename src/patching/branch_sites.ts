/** Places in the code that objtool, the compiler or a macro has listed for the boot code: a branch at each. */
import { InputError } from '../errors.js';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import type { PatchedMemory } from './memory.js';
import { lengthAt } from './nops.js';
import { offsets, type TableName, tables, viewOf } from './tables.js';

/** A branch with a 32-bit displacement, as it stands. */
export interface BranchSite {
  readonly address: bigint;
  /** All its bytes, prefixes included. */
  readonly bytes: Uint8Array;
  /** `e8`, `e9`, `80` to `8f` for a Jcc; undefined for anything else. */
  readonly opcode: number | undefined;
  readonly target: bigint | undefined;
}

export const CALL = 0xe8;
export const JMP = 0xe9;
export const RET = 0xc3;
export const INT3 = 0xcc;
/** SDM vol. 2, 2.1.1: in 64-bit mode it does nothing, and makes a branch a byte longer. */
const CS_PREFIX = 0x2e;

/**
 * The listed sites. Objects that objtool has not seen list nothing; there, and only there, the branches to `targets` that the
 * line map knows are the sites: what objtool would have listed.
 */
export function branchSites(memory: PatchedMemory, name: TableName, targets: ReadonlySet<bigint>): BranchSite[] {
  const found = tables(memory, name);
  if (found.length > 0) {
    return found.flatMap((table) =>
      offsets(table).map(({ target, offset }) => {
        const site = branchAt(memory, target);
        if (!site) {
          throw new InputError(
            `${table.where(offset)}: the site 0x${target.toString(16)} is no instruction in code; the table is damaged`,
          );
        }
        return site;
      }),
    );
  }
  if (targets.size === 0) return [];
  return memory.image.sections.flatMap((section) => {
    if (!section.segment.endsWith('text')) return [];
    return section.lines.flatMap(({ offset }) => {
      const opcode = section.data[offset];
      if (opcode !== CALL && opcode !== JMP) return [];
      const site = branchAt(memory, section.address + BigInt(offset));
      return site?.target !== undefined && targets.has(site.target) ? [site] : [];
    });
  });
}

/** The instruction at an address; undefined if there is none, or no code. */
export function branchAt(memory: PatchedMemory, address: bigint): BranchSite | undefined {
  if (!memory.isCode(address, 1)) return undefined;
  const bytes = memory.read(address, MAX_INSTRUCTION)!;
  const prefix = bytes[0] === CS_PREFIX ? 1 : 0;
  const first = bytes[prefix];
  const second = bytes[prefix + 1];
  const jcc = first === 0x0f && second !== undefined && second >> 4 === 8;
  if (jcc || first === CALL || first === JMP) {
    const field = prefix + (jcc ? 2 : 1);
    const length = field + 4;
    if (bytes.length < length) return undefined;
    const target = BigInt.asUintN(64, address + BigInt(length + viewOf(bytes).getInt32(field, true)));
    return { address, bytes: bytes.slice(0, length), opcode: bytes[field - 1], target };
  }
  const length = lengthAt(bytes, 0);
  return length === undefined
    ? undefined
    : { address, bytes: bytes.slice(0, length), opcode: undefined, target: undefined };
}

/** A CALL or JMP with a 32-bit displacement, or the last five bytes of a Jcc, as it stands at an address. */
export function branch(opcode: number, address: bigint, target: bigint): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = opcode;
  viewOf(bytes).setInt32(1, Number(BigInt.asIntN(32, target - address - 5n)), true);
  return bytes;
}
