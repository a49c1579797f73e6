/**
 * IRET, IRETD and IRETQ in 64-bit mode (SDM vol. 2, IRET/IRETD/IRETQ; vol. 3, 6.14.3): they always pop RIP, CS, RFLAGS,
 * RSP and SS, 2, 4 or 8 bytes each. Any fault leaves RSP and everything else as it was, except that NMIs may already be
 * unblocked.
 */
import { Code } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import { checkFredTransfer } from '../fred.js';
import { type Machine, Return } from '../machine.js';
import {
  checkReturnCode,
  checkReturnStack,
  checkTarget,
  dropPrivilegedSegments,
  enterCode,
  loadStackPointer,
  markAccessed,
} from '../segment_checks.js';
import { unblockedByIret } from '../vmx.js';
import { readStackAt } from './operands.js';

/**
 * The flags that IRET loads in every ring, with a 16-bit operand the lower 16 of them. VM is never loaded: it cannot be
 * set in IA-32e mode.
 */
const LOADED =
  Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT | Flag.RF | Flag.AC | Flag.ID;

export function iret(machine: Machine, instruction: Instruction): boolean {
  const { u32 } = machine;
  const unblocks = unblockedByIret(u32[2 * Reg.EVENTS]!);
  const blocked = u32[2 * Reg.EVENTS]! & unblocks;
  if (unblocks === EventState.NMI_BLOCKED) machine.nmi.unblock();
  else u32[2 * Reg.EVENTS]! &= ~unblocks;
  machine.happened.nmiUnblocked = blocked !== 0;
  const returned = returnFromInterrupt(machine, instruction);
  if (returned) machine.happened.returned = Return.IRET;
  // In SMM it is remembered for RSM.
  if ((returned || machine.profile.iretFaultUnblocksNmi) && u32[2 * Reg.EVENTS]! & EventState.SMM) {
    u32[2 * Reg.EVENTS]! |= EventState.SMM_IRET;
  }
  if (!returned && !machine.profile.iretFaultUnblocksNmi) u32[2 * Reg.EVENTS]! |= blocked;
  return returned;
}

function returnFromInterrupt(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const size = instruction.code === Code.Iretq ? 8 : instruction.code === Code.Iretd ? 4 : 2;
  if (u32[2 * Reg.RFLAGS]! & Flag.NT) return cpu.raiseWith(Vector.GP, 0);
  if (!readStackAt(machine, 0, size)) return false;
  const ripLow = machine.readLow;
  const ripHigh = machine.readHigh;
  if (!readStackAt(machine, size, size)) return false;
  const cs = machine.readLow & 0xffff;
  if (!readStackAt(machine, 2 * size, size)) return false;
  const rflags = machine.readLow;
  if (!readStackAt(machine, 3 * size, size)) return false;
  const rspLow = machine.readLow;
  const rspHigh = machine.readHigh;
  if (!readStackAt(machine, 4 * size, size)) return false;
  const ss = machine.readLow & 0xffff;

  const cpl = cpu.cpl;
  const rpl = cs & 3;
  if (!checkReturnCode(machine, cs)) return false;
  const codeLow = machine.readLow;
  const codeHigh = machine.readHigh;
  if (!checkFredTransfer(machine, cs, rpl, codeHigh)) return false;
  if (!checkReturnStack(machine, ss, rpl, codeHigh)) return false;
  const stack = machine.readHigh;
  if (!checkTarget(machine, codeLow, codeHigh, ripLow, ripHigh)) return false;
  if (!markAccessed(machine, cs, codeHigh) || !markAccessed(machine, ss, stack)) return false;

  let loaded = LOADED;
  const current = u32[2 * Reg.RFLAGS]!;
  if (cpl === 0) loaded |= Flag.IOPL | Flag.IF | Flag.VIF | Flag.VIP;
  else if (cpl <= (current & Flag.IOPL) >>> 12) loaded |= Flag.IF;
  if (size === 2) loaded &= 0xffff;
  enterCode(machine, cs, codeHigh, ripLow, ripHigh);
  loadStackPointer(machine, codeHigh, stack, rspLow, rspHigh);
  u32[2 * Reg.SS] = ss;
  u32[2 * Reg.RFLAGS] = ((current & ~loaded) | (rflags & loaded) | Flag.ONE) >>> 0;
  if (rpl > cpl) dropPrivilegedSegments(machine, rpl);
  return true;
}
