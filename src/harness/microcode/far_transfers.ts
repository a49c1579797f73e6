/**
 * Far JMP, CALL and RET in 64-bit mode, to code segments and through 64-bit call gates (SDM vol. 2, CALL, JMP, RET;
 * vol. 3, 5.8). They have no effect on NMI blocking. A transfer to a compatibility-mode segment is made; executing
 * there is not modelled.
 */
import { Code } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { descriptorDpl, Segment, SystemType, systemType, Tss, UPPER_TYPE } from '../descriptors.js';
import { checkFredTransfer, fredEnabled } from '../fred.js';
import { type Machine, Return } from '../machine.js';
import {
  checkReturnCode,
  checkReturnStack,
  checkTarget,
  dropPrivilegedSegments,
  enterCode,
  isCode,
  loadStackPointer,
  markAccessed,
} from '../segment_checks.js';
import { following, pushable, pushWords, reachMemory, readStackAt } from './operands.js';

/** Bytes of the offset in a far pointer of each form; also the size of what a CALL pushes and a RET pops. */
const SIZES: ReadonlyMap<Code, number> = new Map([
  [Code.Jmp_m1616, 2],
  [Code.Call_m1616, 2],
  [Code.Retfw, 2],
  [Code.Retfw_imm16, 2],
  [Code.Lss_r16_m1616, 2],
  [Code.Lfs_r16_m1616, 2],
  [Code.Lgs_r16_m1616, 2],
  [Code.Jmp_m1632, 4],
  [Code.Call_m1632, 4],
  [Code.Retfd, 4],
  [Code.Retfd_imm16, 4],
  [Code.Lss_r32_m1632, 4],
  [Code.Lfs_r32_m1632, 4],
  [Code.Lgs_r32_m1632, 4],
]);

function sizeOf(instruction: Instruction): number {
  return SIZES.get(instruction.code) ?? 8;
}

/** The far pointer in memory, or undefined when reading it faults. AMD processors have no 64-bit offsets in memory. */
export function farPointer(
  machine: Machine,
  instruction: Instruction,
): { readonly offset: bigint; readonly selector: number } | undefined {
  const size = machine.profile.farPointersOf64Bits ? sizeOf(instruction) : Math.min(sizeOf(instruction), 4);
  if (!reachMemory(machine, instruction, size + 2, Access.READ)) return undefined;
  const pointer = machine.cpu.loadChecked(size + 2);
  return { offset: BigInt.asUintN(8 * size, pointer), selector: Number(pointer >> BigInt(8 * size)) };
}

export function farJump(machine: Machine, instruction: Instruction): boolean {
  return transfer(machine, instruction, false);
}

export function farCall(machine: Machine, instruction: Instruction): boolean {
  return transfer(machine, instruction, true);
}

function transfer(machine: Machine, instruction: Instruction, call: boolean): boolean {
  const { cpu, u32 } = machine;
  const pointer = farPointer(machine, instruction);
  if (!pointer) return false;
  const { offset, selector } = pointer;
  const code = selector & 0xfffc;
  if (code === 0) return cpu.raiseWith(Vector.GP, 0);
  if (!machine.readDescriptor(selector, Vector.GP, code)) return false;
  const high = machine.readHigh;
  if (!(high & Segment.CODE_OR_DATA)) {
    if (systemType(high) !== SystemType.CALL_GATE || fredEnabled(machine)) return cpu.raiseWith(Vector.GP, code);
    return throughGate(machine, instruction, selector, call);
  }
  const low = machine.readLow;
  const dpl = descriptorDpl(high);
  const { cpl } = cpu;
  if (!isCode(high)) return cpu.raiseWith(Vector.GP, code);
  if (high & Segment.CONFORMING ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl)
    return cpu.raiseWith(Vector.GP, code);
  if (!checkFredTransfer(machine, selector, cpl, high)) return false;
  if (!(high & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, code);
  const ripLow = Number(offset & 0xffffffffn);
  const ripHigh = Number(offset >> 32n);
  const size = sizeOf(instruction);
  const rsp = cpu.regs.u64[Reg.RSP]!;
  if (call && !pushable(machine, rsp, 2, size, cpl)) return false;
  if (!checkTarget(machine, low, high, ripLow, ripHigh) || !markAccessed(machine, selector, high)) return false;
  if (call) cpu.regs.u64[Reg.RSP] = pushWords(machine, rsp, returnAddress(machine, instruction), size, cpl);
  u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  enterCode(machine, code | cpl, high, ripLow, ripHigh);
  return true;
}

/** What a CALL pushes for the RET that belongs to it, in the order in which it does. */
function returnAddress(machine: Machine, instruction: Instruction): [cs: bigint, rip: bigint] {
  return [BigInt(machine.u32[2 * Reg.CS]!), following(instruction)];
}

/** Through the 64-bit call gate `gate`, whose lower half has just been read. */
function throughGate(machine: Machine, instruction: Instruction, gate: number, call: boolean): boolean {
  const { cpu, u32 } = machine;
  const { cpl } = cpu;
  const gateCode = gate & 0xfffc;
  const gateLow = machine.readLow;
  const gateHigh = machine.readHigh;
  const gateDpl = descriptorDpl(gateHigh);
  if (gateDpl < cpl || gateDpl < (gate & 3)) return cpu.raiseWith(Vector.GP, gateCode);
  if (!(gateHigh & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, gateCode);
  if (!readUpper(machine, gate)) return false;
  if (machine.readHigh & UPPER_TYPE) return cpu.raiseWith(Vector.GP, gateCode);
  const ripLow = ((gateHigh & 0xffff0000) | (gateLow & 0xffff)) >>> 0;
  const ripHigh = machine.readLow;

  const selector = gateLow >>> 16;
  const code = selector & 0xfffc;
  if (code === 0) return cpu.raiseWith(Vector.GP, 0);
  if (!machine.readDescriptor(selector, Vector.GP, code)) return false;
  const low = machine.readLow;
  const high = machine.readHigh;
  const dpl = descriptorDpl(high);
  if (!isCode(high) || !(high & Segment.LONG)) return cpu.raiseWith(Vector.GP, code);
  const inner = !(high & Segment.CONFORMING) && dpl < cpl;
  if (dpl > cpl || (inner && !call)) return cpu.raiseWith(Vector.GP, code);
  if (!(high & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, code);

  const newCpl = inner ? dpl : cpl;
  let words: readonly bigint[] = call ? returnAddress(machine, instruction) : [];
  let top = cpu.regs.u64[Reg.RSP]!;
  if (inner) {
    const slot = Tss.RSP0 + 8 * newCpl;
    if (slot + 7 > u32[2 * Reg.TR_LIMIT]!) return cpu.raiseWith(Vector.TS, u32[2 * Reg.TR]! & 0xfffc);
    if (!machine.readSystem(Reg.TR_BASE, slot)) return false;
    if (!cpu.isCanonical(machine.readHigh)) return cpu.raiseWith(Vector.SS, 0);
    words = [BigInt(u32[2 * Reg.SS]!), top, ...words];
    top = (BigInt(machine.readHigh) << 32n) | BigInt(machine.readLow);
  }
  if (!pushable(machine, top, words.length, 8, newCpl)) return false;
  if (!checkTarget(machine, low, high, ripLow, ripHigh) || !markAccessed(machine, selector, high)) return false;
  cpu.regs.u64[Reg.RSP] = pushWords(machine, top, words, 8, newCpl);
  if (inner) u32[2 * Reg.SS] = newCpl;
  u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  enterCode(machine, code | newCpl, high, ripLow, ripHigh);
  return true;
}

/**
 * Reads the upper 8 bytes of the 16-byte descriptor of `selector`; beyond the limit of its table that is #GP(selector).
 */
function readUpper(machine: Machine, selector: number): boolean {
  return machine.readDescriptor(selector + 8, Vector.GP, selector & 0xfffc);
}

export function farReturn(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const size = sizeOf(instruction);
  const released = instruction.iced.opCount > 0 ? instruction.iced.immediate16 : 0;
  if (!readStackAt(machine, 0, size)) return false;
  const ripLow = machine.readLow;
  const ripHigh = machine.readHigh;
  if (!readStackAt(machine, size, size)) return false;
  const cs = machine.readLow & 0xffff;
  if (!checkReturnCode(machine, cs)) return false;
  const codeLow = machine.readLow;
  const codeHigh = machine.readHigh;
  const rpl = cs & 3;
  if (!checkFredTransfer(machine, cs, rpl, codeHigh)) return false;
  const outer = rpl > cpu.cpl;
  let rsp = cpu.regs.u64[Reg.RSP]! + BigInt(2 * size + released);
  let ss = u32[2 * Reg.SS]!;
  let stack = 0;
  if (outer) {
    // The parameters lie between the return address and the outer stack pointer, and on the outer stack too.
    if (!readStackAt(machine, 2 * size + released, size)) return false;
    rsp = ((BigInt(machine.readHigh) << 32n) | BigInt(machine.readLow)) + BigInt(released);
    if (!readStackAt(machine, 3 * size + released, size)) return false;
    ss = machine.readLow & 0xffff;
    if (!checkReturnStack(machine, ss, rpl, codeHigh)) return false;
    stack = machine.readHigh;
  }
  if (!checkTarget(machine, codeLow, codeHigh, ripLow, ripHigh)) return false;
  if (!markAccessed(machine, cs, codeHigh) || (outer && !markAccessed(machine, ss, stack))) return false;
  enterCode(machine, cs, codeHigh, ripLow, ripHigh);
  rsp = BigInt.asUintN(64, rsp);
  if (outer) {
    loadStackPointer(machine, codeHigh, stack, Number(rsp & 0xffffffffn), Number(rsp >> 32n));
    u32[2 * Reg.SS] = ss;
    dropPrivilegedSegments(machine, rpl);
  } else {
    cpu.regs.u64[Reg.RSP] = rsp;
  }
  u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  machine.happened.returned = Return.RETF;
  return true;
}
