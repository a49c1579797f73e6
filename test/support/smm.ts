/** A Rig with SMM code, and its state save area. */
import { loadSmram, smramRegions } from '../../src/platforms/smm.js';
import type { Options, Rig } from './machine.js';
import type { Make } from './rule.js';

export const SMBASE = 0x7f000000n;
/** Where the manuals count the offsets of the state save area from. */
const MAP = SMBASE + 0x8000n;

/** A Rig whose SMM code is `smm`: it must have the label smi_handler; smi_handler_iret is the same unless it is there too. */
export function makeSmm(make: Make, text: string, smm: string, options: Options = {}): Rig {
  const more = /^smi_handler_iret:/m.test(smm) ? '' : 'smi_handler_iret: rsm\n';
  const rig = make(`${text}\n.section .text.smm,"ax",@progbits\n${smm}\n${more}`, {
    ...options,
    regions: [...smramRegions(SMBASE, 1), ...(options.regions ?? [])],
    regs: { SMBASE, ...options.regs },
  });
  const find = (name: string): bigint | undefined =>
    new RegExp(`^${name}:`, 'm').test(smm + more) ? rig.label(name) : undefined;
  rig.machine.smm = loadSmram(rig.machine.memory, SMBASE, find, 0);
  return rig;
}

/** What the state save area has in `bytes` bytes at an offset of the manuals' maps. */
export function saved(rig: Rig, offset: number, bytes: 1 | 2 | 4 | 8 = 8): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) {
    value = (value << 8n) | BigInt(rig.machine.memory.peek(MAP + BigInt(offset + i), 1)![0]!);
  }
  return value;
}

/** Stores `bytes` bytes there, as SMM code may. */
export function setSaved(rig: Rig, offset: number, value: bigint, bytes: 1 | 2 | 4 | 8 = 8): void {
  const all = Uint8Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  rig.machine.memory.load(MAP + BigInt(offset), all);
}
