/** MOV to and from segment registers, PUSH and POP of FS and GS (SDM vol. 2, MOV, PUSH, POP). */
import { Register } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import { descriptorBase, descriptorDpl, Segment } from '../descriptors.js';
import { EventState } from '../event_state.js';
import type { Machine } from '../machine.js';
import { advance, reach, readOperand, stackWord, writeOperand } from './operands.js';

const SEGMENTS: ReadonlyMap<Register, number> = new Map([
  [Register.CS, Reg.CS],
  [Register.SS, Reg.SS],
  [Register.DS, Reg.DS],
  [Register.ES, Reg.ES],
  [Register.FS, Reg.FS],
  [Register.GS, Reg.GS],
]);

export function movFromSegment(machine: Machine, instruction: Instruction): boolean {
  const selector = machine.u32[2 * SEGMENTS.get(instruction.iced.op1Register)!]!;
  if (!writeOperand(machine, instruction, 0, BigInt(selector))) return false;
  return advance(machine, instruction);
}

export function movToSegment(machine: Machine, instruction: Instruction): boolean {
  const target = SEGMENTS.get(instruction.iced.op0Register)!;
  if (target === Reg.CS) return machine.cpu.raise(Vector.UD);
  const value = readOperand(machine, instruction, 1);
  if (value === undefined || !loadSegment(machine, target, Number(value & 0xffffn))) return false;
  if (target === Reg.SS) machine.u32[2 * Reg.EVENTS]! |= EventState.MOV_SS_SHADOW;
  return advance(machine, instruction);
}

export function pushSegment(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const rsp = BigInt.asUintN(64, cpu.regs.u64[Reg.RSP]! - 8n);
  if (!reach(machine, rsp, 8, Access.WRITE, true)) return false;
  cpu.storeChecked(8, BigInt(machine.u32[2 * SEGMENTS.get(instruction.iced.op0Register)!]!));
  cpu.regs.u64[Reg.RSP] = rsp;
  return advance(machine, instruction);
}

export function popSegment(machine: Machine, instruction: Instruction): boolean {
  const value = stackWord(machine);
  if (value === undefined) return false;
  if (!loadSegment(machine, SEGMENTS.get(instruction.iced.op0Register)!, Number(value & 0xffffn))) return false;
  machine.cpu.regs.u64[Reg.RSP] = BigInt.asUintN(64, machine.cpu.regs.u64[Reg.RSP]! + 8n);
  return advance(machine, instruction);
}

/** Loads a data segment register with the checks of MOV (SDM vol. 2); FS and GS take the descriptor's base. */
function loadSegment(machine: Machine, target: number, selector: number): boolean {
  const { cpu, u32 } = machine;
  const cpl = cpu.cpl;
  const rpl = selector & 3;
  const code = selector & 0xfffc;
  if (code === 0) {
    // A null SS is allowed below ring 3 if its RPL is the CPL.
    if (target === Reg.SS && (cpl === 3 || rpl !== cpl)) return cpu.raiseWith(Vector.GP, 0);
    machine.rareChange(target);
    u32[2 * target] = selector;
    if (target === Reg.FS || target === Reg.GS) setBase(machine, target, 0n);
    return true;
  }
  if (!machine.readDescriptor(selector, Vector.GP, code)) return false;
  const descriptor = machine.readHigh;
  if (!(descriptor & Segment.CODE_OR_DATA)) return cpu.raiseWith(Vector.GP, code);
  const executable = (descriptor & Segment.EXECUTABLE) !== 0;
  const readableOrWritable = (descriptor & Segment.WRITABLE) !== 0;
  const dpl = descriptorDpl(descriptor);
  if (target === Reg.SS) {
    if (rpl !== cpl || dpl !== cpl || executable || !readableOrWritable) return cpu.raiseWith(Vector.GP, code);
    if (!(descriptor & Segment.PRESENT)) return cpu.raiseWith(Vector.SS, code);
  } else {
    if (executable && !readableOrWritable) return cpu.raiseWith(Vector.GP, code);
    const conforming = executable && (descriptor & Segment.CONFORMING) !== 0;
    if (!conforming && (rpl > dpl || cpl > dpl)) return cpu.raiseWith(Vector.GP, code);
    if (!(descriptor & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, code);
  }
  machine.rareChange(target);
  u32[2 * target] = selector;
  if (target === Reg.FS || target === Reg.GS) setBase(machine, target, descriptorBase(machine.readLow, descriptor));
  return true;
}

function setBase(machine: Machine, target: number, base: bigint): void {
  machine.cpu.regs.u64[target === Reg.FS ? Reg.FS_BASE : Reg.GS_BASE] = base;
}
