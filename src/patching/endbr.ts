/** ENDBR of functions that nobody calls through a pointer: made a NOP at boot, on every processor (apply_ibt_endbr()). */
import type { Patch } from './alternatives.js';
import type { KernelVersion } from './kernel_version.js';
import type { PatchedMemory } from './memory.js';
import { offsets, tables, viewOf } from './tables.js';

const TABLE = { section: '.ibt_endbr_seal', start: '__ibt_endbr_seal', end: '__ibt_endbr_seal_end' };
/** `endbr64`, read as a number. */
const ENDBR = 0xfa1e0ff3;
/** `osp nopl (%rax)`, and from 6.15 on `nopl -42(%rax)` (gen_endbr_poison() in asm/ibt.h). */
const POISON = Uint8Array.of(0x66, 0x0f, 0x1f, 0x00);
const NEW_POISON = Uint8Array.of(0x0f, 0x1f, 0x40, 0xd6);
const NEW_FROM = 615;

export function sealEndbr(memory: PatchedMemory, version: KernelVersion | undefined): Patch[] {
  const poison = version && version.number >= NEW_FROM ? NEW_POISON : POISON;
  return tables(memory, TABLE).flatMap((table) =>
    offsets(table).flatMap(({ target }) => {
      const bytes = memory.isCode(target, 4) ? memory.read(target, 4) : undefined;
      if (!bytes || viewOf(bytes).getUint32(0, true) !== ENDBR) return [];
      memory.write(target, poison);
      return [{ address: target, size: 4, by: 'sealed', from: undefined }];
    }),
  );
}
