/** PUSHFQ, POPFQ, CLI, STI, CLAC, STAC and HLT (SDM vol. 2). */
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import type { Machine } from '../machine.js';
import { advance, reach, stackWord } from './operands.js';

/** The flags that POPFQ loads in every ring; IOPL and IF depend on the privilege level. RF is cleared. */
const POPPED =
  Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT | Flag.AC | Flag.ID;

export function pushfq(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const rsp = BigInt.asUintN(64, cpu.regs.u64[Reg.RSP]! - 8n);
  if (!reach(machine, rsp, 8, Access.WRITE, true)) return false;
  // The image never shows RF and VM.
  cpu.storeChecked(8, BigInt((u32[2 * Reg.RFLAGS]! & ~(Flag.RF | Flag.VM)) >>> 0));
  cpu.regs.u64[Reg.RSP] = rsp;
  return advance(machine, instruction);
}

export function popfq(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const image = stackWord(machine);
  if (image === undefined) return false;
  const current = u32[2 * Reg.RFLAGS]!;
  let loaded = POPPED;
  if (cpu.cpl === 0) loaded |= Flag.IOPL | Flag.IF;
  else if (cpu.cpl <= ioPrivilege(current)) loaded |= Flag.IF;
  u32[2 * Reg.RFLAGS] = ((current & ~loaded & ~Flag.RF) | (Number(image & 0xffffffffn) & loaded) | Flag.ONE) >>> 0;
  cpu.regs.u64[Reg.RSP] = BigInt.asUintN(64, cpu.regs.u64[Reg.RSP]! + 8n);
  return advance(machine, instruction);
}

function ioPrivilege(rflags: number): number {
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
