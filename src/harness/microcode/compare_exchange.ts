/**
 * CMPXCHG with 32-bit operands, whose register destination the engine clears above bit 31 even when nothing is exchanged,
 * and CMPXCHG16B, whose alignment it does not check (SDM vol. 2).
 */
import { OpKind } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, memoryAddress, reachMemory, readOperand, writeOperand } from './operands.js';

const SIGN = 0x80000000;
const ARITHMETIC = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF;

export function compareExchange(machine: Machine, instruction: Instruction): boolean {
  const { u32 } = machine;
  const memory = instruction.iced.op0Kind === OpKind.Memory;
  // The destination is written whether or not the values are equal, if it is memory.
  if (memory && !reachMemory(machine, instruction, 4, Access.READ | Access.WRITE)) return false;
  const destination = Number(readOperand(machine, instruction, 0)!);
  const accumulator = u32[2 * Reg.RAX]!;
  if (accumulator === destination) {
    writeOperand(machine, instruction, 0, readOperand(machine, instruction, 1)!);
  } else {
    u32[2 * Reg.RAX] = destination;
    u32[2 * Reg.RAX + 1] = 0;
  }
  u32[2 * Reg.RFLAGS] = ((u32[2 * Reg.RFLAGS]! & ~ARITHMETIC) | comparisonFlags(accumulator, destination)) >>> 0;
  return advance(machine, instruction);
}

/** The flags of CMP, for 32-bit numbers. */
function comparisonFlags(a: number, b: number): number {
  const difference = (a - b) >>> 0;
  let flags = 0;
  if (a < b) flags |= Flag.CF;
  if (((a ^ b ^ difference) & 0x10) !== 0) flags |= Flag.AF;
  if (difference === 0) flags |= Flag.ZF;
  if ((difference & SIGN) !== 0) flags |= Flag.SF;
  if (((a ^ b) & (a ^ difference) & SIGN) !== 0) flags |= Flag.OF;
  let parity = difference & 0xff;
  parity ^= parity >>> 4;
  parity ^= parity >>> 2;
  if (((parity ^ (parity >>> 1)) & 1) === 0) flags |= Flag.PF;
  return flags;
}

export function compareExchange16(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  const { view } = machine.memory;
  if (memoryAddress(machine, instruction.iced) & 15n) return cpu.raiseWith(Vector.GP, 0);
  if (!reachMemory(machine, instruction, 16, Access.READ | Access.WRITE)) return false;
  const at = cpu.accessOffset;
  const low = view.getBigUint64(at, true);
  const high = view.getBigUint64(at + 8, true);
  if (low === u64[Reg.RAX] && high === u64[Reg.RDX]) {
    view.setBigUint64(at, u64[Reg.RBX]!, true);
    view.setBigUint64(at + 8, u64[Reg.RCX]!, true);
    u32[2 * Reg.RFLAGS]! |= Flag.ZF;
  } else {
    u64[Reg.RAX] = low;
    u64[Reg.RDX] = high;
    u32[2 * Reg.RFLAGS]! &= ~Flag.ZF;
  }
  return advance(machine, instruction);
}
