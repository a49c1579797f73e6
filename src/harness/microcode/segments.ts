/** MOV to and from segment registers, PUSH and POP of FS and GS, LSS, LFS and LGS (SDM vol. 2, MOV, PUSH, POP, LDS). */
import { Code, Mnemonic, Register } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import { descriptorBase, descriptorDpl, Segment } from '../descriptors.js';
import { EventState } from '../event_state.js';
import type { Machine } from '../machine.js';
import { markAccessed } from '../segment_checks.js';
import { farPointer } from './far_transfers.js';
import { advance, pushable, pushWords, readOperand, readStackAt, writeOperand } from './operands.js';

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
  const rsp = cpu.regs.u64[Reg.RSP]!;
  const size = stackSize(instruction);
  if (!pushable(machine, rsp, 1, size, cpu.cpl)) return false;
  const selector = machine.u32[2 * SEGMENTS.get(instruction.iced.op0Register)!]!;
  cpu.regs.u64[Reg.RSP] = pushWords(machine, rsp, [BigInt(selector)], size, cpu.cpl);
  return advance(machine, instruction);
}

export function popSegment(machine: Machine, instruction: Instruction): boolean {
  const { u64 } = machine.cpu.regs;
  const size = stackSize(instruction);
  if (!readStackAt(machine, 0, size)) return false;
  if (!loadSegment(machine, SEGMENTS.get(instruction.iced.op0Register)!, machine.readLow & 0xffff)) return false;
  u64[Reg.RSP] = BigInt.asUintN(64, u64[Reg.RSP]! + BigInt(size));
  return advance(machine, instruction);
}

/** Bytes that PUSH and POP of a segment register move. */
function stackSize(instruction: Instruction): number {
  const { code } = instruction;
  const words: readonly Code[] = [Code.Pushw_FS, Code.Pushw_GS, Code.Popw_FS, Code.Popw_GS];
  return words.includes(code) ? 2 : 8;
}

const POINTER_TARGETS: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Lss, Reg.SS],
  [Mnemonic.Lfs, Reg.FS],
  [Mnemonic.Lgs, Reg.GS],
]);

/** LSS, LFS and LGS. LSS loads the stack pointer along with SS, and so needs no shadow. */
export function loadFarPointer(machine: Machine, instruction: Instruction): boolean {
  const pointer = farPointer(machine, instruction);
  if (!pointer || !loadSegment(machine, POINTER_TARGETS.get(instruction.mnemonic)!, pointer.selector)) return false;
  writeOperand(machine, instruction, 0, pointer.offset);
  return advance(machine, instruction);
}

/** Loads a data segment register with the checks of MOV (SDM vol. 2); FS and GS take the descriptor's base. */
export function loadSegment(machine: Machine, target: number, selector: number): boolean {
  const { cpu, u32 } = machine;
  const cpl = cpu.cpl;
  const rpl = selector & 3;
  const code = selector & 0xfffc;
  if (code === 0) {
    // A null SS is allowed below ring 3 if its RPL is the CPL.
    if (target === Reg.SS && (cpl === 3 || rpl !== cpl)) return cpu.raiseWith(Vector.GP, 0);
    machine.rareChange(target);
    u32[2 * target] = selector;
    const hasBase = target === Reg.FS || target === Reg.GS;
    if (hasBase && machine.profile.nullSelectorClearsBase) setBase(machine, target, 0n);
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
  const base = descriptorBase(machine.readLow, descriptor);
  if (!markAccessed(machine, selector, descriptor)) return false;
  machine.rareChange(target);
  u32[2 * target] = selector;
  if (target === Reg.FS || target === Reg.GS) setBase(machine, target, base);
  return true;
}

function setBase(machine: Machine, target: number, base: bigint): void {
  machine.cpu.regs.u64[target === Reg.FS ? Reg.FS_BASE : Reg.GS_BASE] = base;
}
