import { Perm } from '../cpu/memory.js';
import { Reg } from '../cpu/registers.js';
import { hex } from './describe.js';
import type { Monitor } from './monitor.js';
import type { Property } from './property.js';

/** Ring 0 stands at an address that user mode owns: in the lower half and not in a page of the kernel's. */
function inUserCode(m: Monitor): boolean {
  const { u32, memory } = m.machine;
  const high = u32[2 * Reg.RIP + 1]!;
  if (high >>> 31 !== 0 || (u32[2 * Reg.CS]! & 3) !== 0) return false;
  return memory.translate(high, u32[2 * Reg.RIP]!) < 0 || (memory.perms & Perm.USER) !== 0;
}

export const ring0UserCode: Property = {
  name: 'ring0-user-code',
  sentence: 'ring 0 never executes at an address of user mode',
  ends: true,
  left: inUserCode,
  delivered: inUserCode,
  explain: (m) => `CPL is 0 and RIP is ${hex(m.machine.cpu.regs.u64[Reg.RIP]!)}, an address of user mode`,
};
