/**
 * IRETQ in 64-bit mode (SDM vol. 2, IRET/IRETD/IRETQ; vol. 3, 6.14.3): always pops RIP, CS, RFLAGS, RSP and SS.
 * Any fault leaves RSP and everything else as it was, except that NMIs may already be unblocked.
 */
import { isCanonical, Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { descriptorDpl, Segment } from '../descriptors.js';
import { EventState } from '../event_state.js';
import { type Machine, Return } from '../machine.js';

/** The flags that IRETQ loads in every ring. VM is never loaded: it cannot be set in IA-32e mode. */
const LOADED =
  Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT | Flag.RF | Flag.AC | Flag.ID;

export function iretq(machine: Machine, instruction: Instruction): boolean {
  const latchBefore = machine.nmi.blocked;
  machine.nmi.unblock();
  if (returnFromInterrupt(machine, instruction)) {
    machine.happened.returned = Return.IRET;
    return true;
  }
  if (latchBefore && !machine.profile.iretFaultUnblocksNmi) machine.u32[2 * Reg.EVENTS]! |= EventState.NMI_BLOCKED;
  return false;
}

function returnFromInterrupt(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (u32[2 * Reg.RFLAGS]! & Flag.NT) return cpu.raiseWith(Vector.GP, 0);
  if (!machine.readStack(0)) return false;
  const ripLow = machine.readLow;
  const ripHigh = machine.readHigh;
  if (!machine.readStack(8)) return false;
  const cs = machine.readLow & 0xffff;
  if (!machine.readStack(16)) return false;
  const rflags = machine.readLow;
  if (!machine.readStack(24)) return false;
  const rspLow = machine.readLow;
  const rspHigh = machine.readHigh;
  if (!machine.readStack(32)) return false;
  const ss = machine.readLow & 0xffff;

  const cpl = cpu.cpl;
  const rpl = cs & 3;
  if ((cs & 0xfffc) === 0) return cpu.raiseWith(Vector.GP, 0);
  if (rpl < cpl) return cpu.raiseWith(Vector.GP, cs & 0xfffc);
  if (!machine.readDescriptor(cs, Vector.GP, cs & 0xfffc)) return false;
  const code = machine.readHigh;
  const codeBits = Segment.CODE_OR_DATA | Segment.EXECUTABLE;
  if ((code & codeBits) !== codeBits) return cpu.raiseWith(Vector.GP, cs & 0xfffc);
  const dpl = descriptorDpl(code);
  if (code & Segment.CONFORMING ? dpl > rpl : dpl !== rpl) return cpu.raiseWith(Vector.GP, cs & 0xfffc);
  if (!(code & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, cs & 0xfffc);
  if (!(code & Segment.LONG)) {
    throw new NotModelled(
      instruction.address,
      `IRETQ to the 32-bit code segment 0x${cs.toString(16)}: compatibility mode is not modelled`,
    );
  }
  if (code & Segment.DEFAULT_BIG) return cpu.raiseWith(Vector.GP, cs & 0xfffc);

  if ((ss & 0xfffc) === 0) {
    // A null SS is what a delivery that changed CPL leaves behind: legal below ring 3.
    if (rpl === 3 || (ss & 3) !== rpl) return cpu.raiseWith(Vector.GP, 0);
  } else {
    if ((ss & 3) !== rpl) return cpu.raiseWith(Vector.GP, ss & 0xfffc);
    if (!machine.readDescriptor(ss, Vector.GP, ss & 0xfffc)) return false;
    const data = machine.readHigh;
    const dataBits = Segment.CODE_OR_DATA | Segment.EXECUTABLE | Segment.WRITABLE;
    if ((data & dataBits) !== (Segment.CODE_OR_DATA | Segment.WRITABLE)) return cpu.raiseWith(Vector.GP, ss & 0xfffc);
    if (descriptorDpl(data) !== rpl) return cpu.raiseWith(Vector.GP, ss & 0xfffc);
    if (!(data & Segment.PRESENT)) return cpu.raiseWith(Vector.SS, ss & 0xfffc);
  }
  if (!isCanonical(ripHigh)) return cpu.raiseWith(Vector.GP, 0);

  let loaded = LOADED;
  const current = u32[2 * Reg.RFLAGS]!;
  if (cpl === 0) loaded |= Flag.IOPL | Flag.IF | Flag.VIF | Flag.VIP;
  else if (cpl <= (current & Flag.IOPL) >>> 12) loaded |= Flag.IF;
  u32[2 * Reg.RIP] = ripLow;
  u32[2 * Reg.RIP + 1] = ripHigh;
  u32[2 * Reg.RSP] = rspLow;
  u32[2 * Reg.RSP + 1] = rspHigh;
  u32[2 * Reg.CS] = cs;
  u32[2 * Reg.SS] = ss;
  u32[2 * Reg.RFLAGS] = ((current & ~loaded) | (rflags & loaded) | Flag.ONE) >>> 0;
  if (rpl > cpl) dropPrivilegedSegments(machine, rpl);
  return true;
}

/** On a return to an outer ring, data segments that it may not use become null (SDM vol. 2, IRET). */
function dropPrivilegedSegments(machine: Machine, cpl: number): void {
  for (const segment of [Reg.DS, Reg.ES, Reg.FS, Reg.GS]) {
    const selector = machine.u32[2 * segment]!;
    if ((selector & 0xfffc) === 0 || !machine.readDescriptor(selector, Vector.GP, 0)) continue;
    const descriptor = machine.readHigh;
    const conforming = descriptor & Segment.EXECUTABLE && descriptor & Segment.CONFORMING;
    if (!conforming && descriptorDpl(descriptor) < cpl) {
      machine.rareChange(segment);
      machine.u32[2 * segment] = 0;
    }
  }
}
