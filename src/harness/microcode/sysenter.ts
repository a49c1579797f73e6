/**
 * SYSENTER and SYSEXIT in 64-bit mode (SDM vol. 2). SYSENTER saves nothing and touches of RFLAGS only IF, RF and VM:
 * TF, NT, AC and DF are the user's. On AMD processors both are #UD in long mode (APM vol. 3).
 */
import { Code } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import { FRED_SYSENTER, fredEnabled } from '../fred.js';
import { type Machine, Return } from '../machine.js';
import { callSystem } from './syscall.js';

/** Distances from the selector in IA32_SYSENTER_CS. */
const Offset = { KERNEL_SS: 8, USER_CODE_32: 16, USER_CODE_64: 32 } as const;

/** Bits 15 to 2 of the selector: none set means that SYSENTER has not been set up. */
function kernelCode(machine: Machine): number {
  return machine.u32[2 * Reg.SYSENTER_CS]! & 0xfffc;
}

export function sysenter(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  if (!machine.profile.sysenterInLongMode) return cpu.raise(Vector.UD);
  if (fredEnabled(machine)) return callSystem(machine, instruction, FRED_SYSENTER);
  const cs = kernelCode(machine);
  if (cs === 0) return cpu.raiseWith(Vector.GP, 0);
  u32[2 * Reg.RFLAGS]! &= ~(Flag.IF | Flag.RF | Flag.VM);
  u64[Reg.RSP] = u64[Reg.SYSENTER_ESP]!;
  u64[Reg.RIP] = u64[Reg.SYSENTER_EIP]!;
  u32[2 * Reg.CS] = cs;
  u32[2 * Reg.SS] = (cs + Offset.KERNEL_SS) & 0xffff;
  return true;
}

export function sysexit(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  if (!machine.profile.sysenterInLongMode || fredEnabled(machine)) return cpu.raise(Vector.UD);
  const base = kernelCode(machine);
  if (cpu.cpl !== 0 || base === 0) return cpu.raiseWith(Vector.GP, 0);
  const long = instruction.code === Code.Sysexitq;
  if (long && !(cpu.isCanonical(u32[2 * Reg.RCX + 1]!) && cpu.isCanonical(u32[2 * Reg.RDX + 1]!)))
    return cpu.raiseWith(Vector.GP, 0);
  u64[Reg.RSP] = long ? u64[Reg.RCX]! : BigInt(u32[2 * Reg.RCX]!);
  u64[Reg.RIP] = long ? u64[Reg.RDX]! : BigInt(u32[2 * Reg.RDX]!);
  const cs = base + (long ? Offset.USER_CODE_64 : Offset.USER_CODE_32);
  u32[2 * Reg.CS] = (cs & 0xffff) | 3;
  u32[2 * Reg.SS] = ((cs + 8) & 0xffff) | 3;
  u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  if (!long) u32[2 * Reg.EVENTS]! |= EventState.COMPATIBILITY;
  machine.happened.returned = Return.SYSEXIT;
  return true;
}
