/** Static calls: each site calls a trampoline as compiled; the boot code makes it a call of what the key holds then. */
import { InputError } from '../errors.js';
import type { Patch } from './alternatives.js';
import { branch, branchAt, CALL, INT3, JMP, RET } from './branch_sites.js';
import type { PatchedMemory } from './memory.js';
import { nops } from './nops.js';
import { type ReturnThunk, wantsThunk } from './returns.js';
import { relative, tables, viewOf } from './tables.js';

const TABLE = { section: '.static_call_sites', start: '__start_static_call_sites', end: '__stop_static_call_sites' };
/** struct static_call_site: two offsets, the key's with flags in its low bits (linux/static_call_types.h). */
const ENTRY = 8;
const TAIL = 1n;
const FLAGS = 3n;
const WRITTEN_AGAIN = 'static_call_force_reinit';
/** `cs cs cs xorl %eax, %eax` (static_call.c): a call of what returns 0. */
const RETURN_0 = Uint8Array.of(0x2e, 0x2e, 0x2e, 0x31, 0xc0);

/**
 * With the functions that the keys hold in the image: drivers that change them later have not run. The sites are written before
 * the kernel has chosen return thunks, so that a tail call of nothing is a plain RET; kernels that have
 * static_call_force_reinit() write them again when it has.
 */
export function applyStaticCalls(memory: PatchedMemory, chosen: ReturnThunk | undefined): Patch[] {
  const { image } = memory;
  const thunk = image.find(WRITTEN_AGAIN) ? chosen : undefined;
  const return0 = image.find('__static_call_return0')?.address;
  return tables(memory, TABLE).flatMap((table) => {
    if (table.bytes.length % ENTRY !== 0) {
      throw new InputError(
        `${table.where(0)}: ${table.bytes.length} bytes are no whole number of entries of ${ENTRY}; the table is damaged`,
      );
    }
    const view = viewOf(table.bytes);
    const patches: Patch[] = [];
    for (let at = 0; at < table.bytes.length; at += ENTRY) {
      const address = relative(table.address, view, at);
      const key = relative(table.address, view, at + 4);
      const site = branchAt(memory, address);
      const target = memory.pointer(key & ~FLAGS);
      if (!site || target === undefined) {
        throw new InputError(
          `${table.where(at)}: its site (0x${address.toString(16)}) or its key (0x${(key & ~FLAGS).toString(16)}) is not in the image; the table is damaged`,
        );
      }
      if (site.opcode === undefined) continue;
      const tail = (key & TAIL) !== 0n;
      const after = site.bytes.slice();
      const jcc = site.opcode !== CALL && site.opcode !== JMP;
      if (jcc) {
        const none = thunk?.address ?? image.find('__static_call_return')?.address;
        const to = target === 0n ? none : target;
        if (to === undefined) continue;
        after.set(branch(site.opcode, address + 1n, to), 1);
      } else if (target !== 0n) {
        after.set(!tail && target === return0 ? RETURN_0 : branch(tail ? JMP : CALL, address, target));
      } else if (!tail) {
        after.set(nops(5, 'runs'));
      } else if (wantsThunk(thunk, address)) {
        after.set(branch(JMP, address, thunk.address));
      } else {
        after.set([RET, INT3, INT3, INT3, INT3]);
      }
      if (after.every((byte, i) => byte === site.bytes[i])) continue;
      memory.write(address, after);
      patches.push({ address, size: after.length, by: 'static call', from: undefined });
    }
    return patches;
  });
}
