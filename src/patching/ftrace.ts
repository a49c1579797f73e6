/** `call __fentry__` at the start of functions: a NOP until somebody traces (ftrace_init()). */
import type { Patch } from './alternatives.js';
import { branchAt, CALL } from './branch_sites.js';
import type { PatchedMemory } from './memory.js';
import { nops } from './nops.js';
import { tables, viewOf } from './tables.js';

const TABLE = { section: '__mcount_loc', start: '__start_mcount_loc', end: '__stop_mcount_loc' };

export function applyFtrace(memory: PatchedMemory): Patch[] {
  const { image } = memory;
  const fentry = image.find('__fentry__')?.address;
  if (fentry === undefined) return [];
  return tables(memory, TABLE).flatMap((table) => {
    const view = viewOf(table.bytes);
    return Array.from({ length: table.bytes.length >> 3 }, (_, i) => view.getBigUint64(8 * i, true)).flatMap(
      (address) => {
        const site = branchAt(memory, address);
        if (site?.opcode !== CALL || site.target !== fentry || site.bytes.length !== 5) return [];
        memory.write(address, nops(5, 'runs'));
        return [{ address, size: 5, by: 'ftrace', from: undefined }];
      },
    );
  });
}
