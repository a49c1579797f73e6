/** PUSHF, POPF, CLI, STI, CLAC, STAC and HLT (SDM vol. 2). */
import { Code } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import type { Machine } from '../machine.js';
import { advance, pushable, pushWords, readStackAt } from './operands.js';

/** The flags that POPFQ loads in every ring; IOPL and IF depend on the privilege level. RF is cleared. */
const POPPED =
  Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT | Flag.AC | Flag.ID;

/** PUSHFQ and PUSHF, which pushes the lower 16 bits. */
export function pushf(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const rsp = cpu.regs.u64[Reg.RSP]!;
  const size = stackSize(instruction);
  if (!pushable(machine, rsp, 1, size, cpu.cpl)) return false;
  // The image never shows RF and VM.
  const image = BigInt((u32[2 * Reg.RFLAGS]! & ~(Flag.RF | Flag.VM)) >>> 0);
  cpu.regs.u64[Reg.RSP] = pushWords(machine, rsp, [image], size, cpu.cpl);
  return advance(machine, instruction);
}

/** POPFQ and POPF, which leaves the upper 16 bits as they are. */
export function popf(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const size = stackSize(instruction);
  if (!readStackAt(machine, 0, size)) return false;
  const current = u32[2 * Reg.RFLAGS]!;
  let loaded = size === 8 ? POPPED : POPPED & 0xffff;
  if (cpu.cpl === 0) loaded |= Flag.IOPL | Flag.IF;
  else if (cpu.cpl <= ioPrivilege(current)) loaded |= Flag.IF;
  u32[2 * Reg.RFLAGS] = ((current & ~loaded & ~Flag.RF) | (machine.readLow & loaded) | Flag.ONE) >>> 0;
  cpu.regs.u64[Reg.RSP] = BigInt.asUintN(64, cpu.regs.u64[Reg.RSP]! + BigInt(size));
  return advance(machine, instruction);
}

function stackSize(instruction: Instruction): number {
  return instruction.code === Code.Pushfw || instruction.code === Code.Popfw ? 2 : 8;
}

export function ioPrivilege(rflags: number): number {
  return (rflags & Flag.IOPL) >>> 12;
}

export function cli(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl > ioPrivilege(u32[2 * Reg.RFLAGS]!)) return cpu.raiseWith(Vector.GP, 0);
  u32[2 * Reg.RFLAGS]! &= ~Flag.IF;
  return advance(machine, instruction);
}

export function sti(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl > ioPrivilege(u32[2 * Reg.RFLAGS]!)) return cpu.raiseWith(Vector.GP, 0);
  if (!(u32[2 * Reg.RFLAGS]! & Flag.IF)) {
    u32[2 * Reg.RFLAGS]! |= Flag.IF;
    u32[2 * Reg.EVENTS]! |= EventState.STI_SHADOW;
  }
  return advance(machine, instruction);
}

export function clac(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raise(Vector.UD);
  machine.u32[2 * Reg.RFLAGS]! &= ~Flag.AC;
  return advance(machine, instruction);
}

export function stac(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raise(Vector.UD);
  machine.u32[2 * Reg.RFLAGS]! |= Flag.AC;
  return advance(machine, instruction);
}

/** Waits at the next boundary until an interrupt or an NMI is delivered. */
export function hlt(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raiseWith(Vector.GP, 0);
  machine.u32[2 * Reg.EVENTS]! |= EventState.HALTED;
  return advance(machine, instruction);
}
