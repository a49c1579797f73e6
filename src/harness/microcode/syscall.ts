/** SYSCALL, SYSRETQ and SWAPGS (SDM vol. 2): no stack switch, no NMI unblocking. */
import { isCanonical, Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { type Machine, Return } from '../machine.js';
import { advance, following } from './operands.js';

const EFER_SCE = 1;
/** The flags that SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c7fd7;

export function syscall(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const u64 = cpu.regs.u64;
  if (!(u32[2 * Reg.EFER]! & EFER_SCE)) return cpu.raise(Vector.UD);
  u64[Reg.RCX] = following(instruction);
  u64[Reg.R11] = BigInt((u32[2 * Reg.RFLAGS]! & ~Flag.RF) >>> 0);
  u64[Reg.RIP] = u64[Reg.LSTAR]!;
  const selector = u32[2 * Reg.STAR + 1]! & 0xffff;
  u32[2 * Reg.CS] = selector & 0xfffc;
  u32[2 * Reg.SS] = (selector + 8) & 0xffff;
  u32[2 * Reg.RFLAGS] = ((u32[2 * Reg.RFLAGS]! & ~u32[2 * Reg.FMASK]! & ~Flag.RF) | Flag.ONE) >>> 0;
  return true;
}

export function sysretq(machine: Machine): boolean {
  const { cpu, u32 } = machine;
  const u64 = cpu.regs.u64;
  if (!(u32[2 * Reg.EFER]! & EFER_SCE)) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const canonical = isCanonical(u32[2 * Reg.RCX + 1]!);
  if (!canonical && machine.profile.sysretChecksBeforeSwitch) return cpu.raiseWith(Vector.GP, 0);
  // Where the processor switches first, the fetch at the non-canonical RIP raises #GP in ring 3.
  const selector = u32[2 * Reg.STAR + 1]! >>> 16;
  u64[Reg.RIP] = u64[Reg.RCX]!;
  u32[2 * Reg.CS] = ((selector + 16) & 0xffff) | 3;
  u32[2 * Reg.SS] = ((selector + 8) & 0xffff) | 3;
  u32[2 * Reg.RFLAGS] = (u32[2 * Reg.R11]! & SYSRET_FLAGS) | Flag.ONE;
  machine.happened.returned = Return.SYSRET;
  return true;
}

export function swapgs(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const u64 = cpu.regs.u64;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const base = u64[Reg.GS_BASE]!;
  u64[Reg.GS_BASE] = u64[Reg.KERNEL_GS_BASE]!;
  u64[Reg.KERNEL_GS_BASE] = base;
  return advance(machine, instruction);
}
