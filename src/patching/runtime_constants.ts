/** Constants that the kernel writes into its instructions while it boots (Linux from 6.11 on, asm/runtime-const.h). */
import type { Patch } from './alternatives.js';
import type { PatchedMemory } from './memory.js';
import { offsets, tables, viewOf } from './tables.js';

/** `mov $imm64, %reg`: its opcode stands before the constant, with a prefix (SDM vol. 2, MOV). Bytes. */
const OPCODE = 2;
/** What stands there until then. */
const PLACEHOLDER = 0x0123456789abcdefn;

/** Those that are the same on each machine without LA57: the end of what user code can address (TASK_SIZE_MAX). */
const VALUES: Readonly<Record<string, bigint>> = { USER_PTR_MAX: 0x7ffffffff000n };

export function applyRuntimeConstants(memory: PatchedMemory): Patch[] {
  return Object.entries(VALUES).flatMap(([name, value]) => {
    const section = `runtime_ptr_${name}`;
    const found = tables(memory, { section, start: `__start_${section}`, end: `__stop_${section}` });
    return found.flatMap((table) =>
      offsets(table).flatMap(({ target }) => {
        const address = target - BigInt(OPCODE);
        const bytes = memory.isCode(address, OPCODE + 8) ? memory.read(address, OPCODE + 8) : undefined;
        if (!bytes || viewOf(bytes).getBigUint64(OPCODE, true) !== PLACEHOLDER) return [];
        viewOf(bytes).setBigUint64(OPCODE, value, true);
        memory.write(address, bytes);
        return [{ address, size: bytes.length, by: 'runtime constant', from: undefined }];
      }),
    );
  });
}
