/**
 * What far transfers, returns and segment loads have in common: the checks of a code and a stack segment, and the parts
 * of a descriptor that loading it changes (SDM vol. 2, CALL, IRET, JMP, MOV, RET; vol. 3, 3.4.5.1 and 5.8).
 *
 * The machine keeps no hidden parts of segment registers but the bases of FS and GS: a privilege level that the
 * processor would take from there is read from the descriptor table.
 */
import { Vector } from '../cpu/cpu.js';
import { Access } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { descriptorDpl, descriptorLimit, Segment } from './descriptors.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';

const CODE = Segment.CODE_OR_DATA | Segment.EXECUTABLE;
const DATA_KIND = Segment.CODE_OR_DATA | Segment.EXECUTABLE | Segment.WRITABLE;
const WRITABLE_DATA = Segment.CODE_OR_DATA | Segment.WRITABLE;

/** The code segment that IRET or RET returns to: on success its descriptor is in readLow and readHigh. */
export function checkReturnCode(machine: Machine, cs: number): boolean {
  const { cpu } = machine;
  const code = cs & 0xfffc;
  const rpl = cs & 3;
  if (code === 0) return cpu.raiseWith(Vector.GP, 0);
  if (rpl < cpu.cpl) return cpu.raiseWith(Vector.GP, code);
  if (!machine.readDescriptor(cs, Vector.GP, code)) return false;
  const high = machine.readHigh;
  if (!isCode(high)) return cpu.raiseWith(Vector.GP, code);
  const dpl = descriptorDpl(high);
  if (high & Segment.CONFORMING ? dpl > rpl : dpl !== rpl) return cpu.raiseWith(Vector.GP, code);
  if (!(high & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, code);
  return true;
}

/** Whether the upper half of a descriptor is that of a code segment, and not of one with both L and D. */
export function isCode(high: number): boolean {
  return (high & CODE) === CODE && !(high & Segment.LONG && high & Segment.DEFAULT_BIG);
}

/**
 * The stack segment of a return to ring `rpl`, to a code segment whose descriptor's upper half is `code`. On success
 * readHigh is the upper half of its descriptor, 0 for a null selector.
 */
export function checkReturnStack(machine: Machine, ss: number, rpl: number, code: number): boolean {
  const { cpu } = machine;
  const selector = ss & 0xfffc;
  if (selector === 0) {
    // A null SS is what a delivery that changed CPL leaves behind: legal in 64-bit mode below ring 3.
    if (rpl === 3 || (ss & 3) !== rpl || !(code & Segment.LONG)) return cpu.raiseWith(Vector.GP, 0);
    machine.readHigh = 0;
    return true;
  }
  if ((ss & 3) !== rpl) return cpu.raiseWith(Vector.GP, selector);
  if (!machine.readDescriptor(ss, Vector.GP, selector)) return false;
  const high = machine.readHigh;
  if ((high & DATA_KIND) !== WRITABLE_DATA || descriptorDpl(high) !== rpl) return cpu.raiseWith(Vector.GP, selector);
  if (!(high & Segment.PRESENT)) return cpu.raiseWith(Vector.SS, selector);
  return true;
}

/** Whether RIP may go to high:low in the code segment with this descriptor; #GP(0) if not. */
export function checkTarget(machine: Machine, codeLow: number, codeHigh: number, low: number, high: number): boolean {
  const within = codeHigh & Segment.LONG ? machine.cpu.isCanonical(high) : low <= descriptorLimit(codeLow, codeHigh);
  return within || machine.cpu.raiseWith(Vector.GP, 0);
}

/** Goes on at high:low in the code segment `cs`, whose descriptor's upper half is `code`. */
export function enterCode(machine: Machine, cs: number, code: number, low: number, high: number): void {
  const { u32 } = machine;
  const long = (code & Segment.LONG) !== 0;
  u32[2 * Reg.CS] = cs;
  u32[2 * Reg.RIP] = low;
  u32[2 * Reg.RIP + 1] = long ? high : 0;
  if (long) u32[2 * Reg.EVENTS]! &= ~EventState.COMPATIBILITY;
  else u32[2 * Reg.EVENTS]! |= EventState.COMPATIBILITY;
}

/**
 * Loads the stack pointer of a return. Only compatibility mode looks at the size of the stack segment (`stack`, the
 * upper half of its descriptor): with a 16-bit one nothing but SP is loaded, and the rest of ESP is what the returning
 * code left there. Of bits 63 to 32 the manuals say nothing: a knob.
 */
export function loadStackPointer(machine: Machine, code: number, stack: number, low: number, high: number): void {
  const { u32 } = machine;
  if (code & Segment.LONG) {
    u32[2 * Reg.RSP] = low;
    u32[2 * Reg.RSP + 1] = high;
  } else if (stack & Segment.DEFAULT_BIG) {
    u32[2 * Reg.RSP] = low;
    u32[2 * Reg.RSP + 1] = 0;
  } else {
    u32[2 * Reg.RSP] = ((u32[2 * Reg.RSP]! & 0xffff0000) | (low & 0xffff)) >>> 0;
    if (machine.profile.returnTo16BitStackClearsRspHigh) u32[2 * Reg.RSP + 1] = 0;
  }
}

/**
 * Segments that the outer ring may not use become null on a return to it, and null ones zero (SDM vol. 2, IRET and
 * RET).
 */
export function dropPrivilegedSegments(machine: Machine, cpl: number): void {
  for (const segment of [Reg.DS, Reg.ES, Reg.FS, Reg.GS]) {
    const selector = machine.u32[2 * segment]!;
    if (selector === 0) continue;
    if ((selector & 0xfffc) !== 0) {
      if (!machine.readDescriptor(selector, Vector.GP, 0)) continue;
      const descriptor = machine.readHigh;
      const conforming = descriptor & Segment.EXECUTABLE && descriptor & Segment.CONFORMING;
      if (conforming || descriptorDpl(descriptor) >= cpl) continue;
    }
    machine.rareChange(segment);
    machine.u32[2 * segment] = 0;
  }
}

/**
 * Sets the accessed bit in the descriptor of `selector`, whose upper half is `high`, as every load of a segment
 * register does; false when that write faults. A null selector has no descriptor.
 */
export function markAccessed(machine: Machine, selector: number, high: number): boolean {
  if ((selector & 0xfffc) === 0 || high & Segment.ACCESSED) return true;
  return setDescriptorBits(machine, selector, high, Segment.ACCESSED);
}

/** Sets bits in the upper half of a descriptor, which is `high` now; false when the write faults. */
export function setDescriptorBits(machine: Machine, selector: number, high: number, bits: number): boolean {
  const { cpu } = machine;
  const base = cpu.regs.u64[selector & 4 ? Reg.LDTR_BASE : Reg.GDTR_BASE]!;
  const at = BigInt.asUintN(64, base + BigInt((selector & 0xfff8) + 4));
  // A write by the processor on its own account, with the rights of the supervisor in every ring.
  if (!cpu.access(Number(at >> 32n), Number(at & 0xffffffffn), 4, Access.WRITE | Access.IMPLICIT, false, false))
    return false;
  cpu.noteAccess(4, Access.WRITE);
  cpu.storeChecked(4, BigInt((high | bits) >>> 0));
  return true;
}
