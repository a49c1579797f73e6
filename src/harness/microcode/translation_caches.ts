/**
 * INVLPG, INVPCID, INVD, WBINVD and WBNOINVD (SDM vol. 2). The machine has neither a translation cache that could be
 * stale nor a data cache: the checks are all that is left.
 */
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction, registerNumber } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, reachMemory } from './operands.js';

const CR4_PCIDE = 1 << 17;

const InvpcidType = { INDIVIDUAL: 0n, SINGLE_CONTEXT: 1n, ALL: 3n } as const;

/** INVLPG and those that have no operand. */
export function invalidate(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raiseWith(Vector.GP, 0);
  return advance(machine, instruction);
}

export function invpcid(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const type = cpu.regs.u64[registerNumber(instruction.iced.op0Register)]!;
  if (type > InvpcidType.ALL) return cpu.raiseWith(Vector.GP, 0);
  if (!reachMemory(machine, instruction, 16, Access.READ)) return false;
  const descriptor = cpu.loadChecked(16);
  const pcid = descriptor & 0xffffffffffffffffn;
  const linearHigh = Number(descriptor >> 96n);
  if (pcid >> 12n !== 0n) return cpu.raiseWith(Vector.GP, 0);
  if (type <= InvpcidType.SINGLE_CONTEXT && pcid !== 0n && !(u32[2 * Reg.CR4]! & CR4_PCIDE))
    return cpu.raiseWith(Vector.GP, 0);
  if (type === InvpcidType.INDIVIDUAL && !cpu.isCanonical(linearHigh)) return cpu.raiseWith(Vector.GP, 0);
  return advance(machine, instruction);
}
