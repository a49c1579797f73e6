/** Paravirt sites (Linux up to 6.7): calls through `pv_ops` become direct calls of what it holds (apply_paravirt()). */
import { InputError } from '../errors.js';
import type { Patch } from './alternatives.js';
import { branch, CALL } from './branch_sites.js';
import type { KernelVersion } from './kernel_version.js';
import type { PatchedMemory } from './memory.js';
import { nops } from './nops.js';
import { tables, viewOf } from './tables.js';

const TABLE = { section: '.parainstructions', start: '__parainstructions', end: '__parainstructions_end' };
/** struct paravirt_patch_site: instr, type (which pointer of pv_ops), len, and padding (asm/paravirt_types.h). Bytes. */
const ENTRY = 16;
/** Before it, small native functions were copied into the sites. */
const DIRECT_CALLS_FROM = 513;

/** On bare metal: with the functions that `pv_ops` holds in the image. */
export function applyParavirt(memory: PatchedMemory, version: KernelVersion | undefined): Patch[] {
  const found = tables(memory, TABLE);
  const first = found[0];
  if (!first) return [];
  const { image } = memory;
  const ops = image.find('pv_ops')?.address;
  const bug = image.find('paravirt_BUG')?.address;
  if (ops === undefined || (version && version.number < DIRECT_CALLS_FROM)) {
    throw new InputError(
      `${first.where(0)}: paravirt sites can be patched only in a whole kernel from Linux 5.13 on, which has pv_ops${
        version ? `; this is ${version.text}` : ''
      }; give the vmlinux, or build without CONFIG_PARAVIRT`,
    );
  }
  const nothing = image.find('_paravirt_nop')?.address;
  const patches: Patch[] = [];
  for (const table of found) {
    const view = viewOf(table.bytes);
    for (let at = 0; at < table.bytes.length; at += ENTRY) {
      const fits = at + ENTRY <= table.bytes.length;
      const address = fits ? view.getBigUint64(at, true) : 0n;
      const type = fits ? view.getUint8(at + 8) : 0;
      const size = fits ? view.getUint8(at + 9) : 0;
      const target = memory.pointer(ops + BigInt(8 * type));
      if (!fits || size < 5 || !memory.isCode(address, size) || target === undefined) {
        throw new InputError(
          `${table.where(at)}: this is no paravirt site (0x${address.toString(16)}, type ${type}, ${size} bytes); the table is damaged`,
        );
      }
      const after = nops(size, 'runs');
      const called = target === 0n ? bug : target;
      if (called !== undefined && called !== nothing) {
        after.set(branch(CALL, address, called));
        after.set(nops(size - 5, 'runs'), 5);
      }
      memory.write(address, after);
      patches.push({ address, size, by: 'paravirt', from: undefined });
    }
  }
  return patches;
}
