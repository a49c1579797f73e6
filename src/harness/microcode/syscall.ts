/** SYSCALL, SYSRET and SWAPGS (SDM vol. 2): no stack switch, no NMI unblocking, and no descriptor is read. */
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { deliver, Origin } from '../delivery.js';
import { EventState } from '../event_state.js';
import { exchangeGsBases, FRED_SYSCALL, fredEnabled } from '../fred.js';
import { type Machine, Return } from '../machine.js';
import { advance, following } from './operands.js';

const EFER_SCE = 1;
/** The flags that SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c7fd7;

export function syscall(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const u64 = cpu.regs.u64;
  if (fredEnabled(machine)) return callSystem(machine, instruction, FRED_SYSCALL);
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

/** SYSCALL or SYSENTER under FRED: an event like any other, of which RCX, R11 and the MSRs of old know nothing. */
export function callSystem(machine: Machine, instruction: Instruction, event: number): true {
  machine.u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  deliver(machine, event, Origin.SYSTEM_CALL, undefined, instruction.length);
  return true;
}

export function sysretq(machine: Machine): boolean {
  if (!sysretAllowed(machine)) return false;
  const canonical = machine.cpu.isCanonical(machine.u32[2 * Reg.RCX + 1]!);
  if (!canonical && machine.profile.sysretChecksBeforeSwitch) return machine.cpu.raiseWith(Vector.GP, 0);
  // Where the processor switches first, the fetch at the non-canonical RIP raises #GP in ring 3.
  machine.u32[2 * Reg.RIP + 1] = machine.u32[2 * Reg.RCX + 1]!;
  return sysret(machine, 16);
}

/** SYSRET with a 32-bit operand: to compatibility mode, at ECX. */
export function sysretd(machine: Machine): boolean {
  if (!sysretAllowed(machine)) return false;
  machine.u32[2 * Reg.RIP + 1] = 0;
  machine.u32[2 * Reg.EVENTS]! |= EventState.COMPATIBILITY;
  return sysret(machine, 0);
}

function sysretAllowed(machine: Machine): boolean {
  const { cpu, u32 } = machine;
  if (!(u32[2 * Reg.EFER]! & EFER_SCE) || fredEnabled(machine)) return cpu.raise(Vector.UD);
  return cpu.cpl === 0 || cpu.raiseWith(Vector.GP, 0);
}

/** `code`: distance of CS from the selector in STAR. */
function sysret(machine: Machine, code: number): true {
  const { u32 } = machine;
  const selector = u32[2 * Reg.STAR + 1]! >>> 16;
  u32[2 * Reg.RIP] = u32[2 * Reg.RCX]!;
  u32[2 * Reg.CS] = ((selector + code) & 0xffff) | 3;
  u32[2 * Reg.SS] = ((selector + 8) & 0xffff) | 3;
  u32[2 * Reg.RFLAGS] = (u32[2 * Reg.R11]! & SYSRET_FLAGS) | Flag.ONE;
  machine.happened.returned = Return.SYSRET;
  return true;
}

export function swapgs(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (fredEnabled(machine)) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  exchangeGsBases(machine);
  return advance(machine, instruction);
}
