/** LGDT, LIDT, LLDT, LTR and SGDT, SIDT, SLDT, STR (SDM vol. 2; vol. 3, 2.4 and 7.2). */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import {
  descriptorBase,
  descriptorLimit,
  Segment,
  SystemType,
  systemType,
  TSS_BUSY,
  UPPER_TYPE,
} from '../descriptors.js';
import type { Machine } from '../machine.js';
import { setDescriptorBits } from '../segment_checks.js';
import { advance, reachMemory, readOperand, userModePrevented, writeOperand } from './operands.js';

/** Bytes of a table's limit and base in memory. */
const PSEUDO_DESCRIPTOR = 10;

function tableOf(instruction: Instruction): { readonly base: number; readonly limit: number } {
  const gdt = instruction.mnemonic === Mnemonic.Lgdt || instruction.mnemonic === Mnemonic.Sgdt;
  return gdt ? { base: Reg.GDTR_BASE, limit: Reg.GDTR_LIMIT } : { base: Reg.IDTR_BASE, limit: Reg.IDTR_LIMIT };
}

/** LGDT and LIDT. */
export function loadTable(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const { u64 } = cpu.regs;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  if (!reachMemory(machine, instruction, PSEUDO_DESCRIPTOR, Access.READ)) return false;
  const image = cpu.loadChecked(PSEUDO_DESCRIPTOR);
  const address = image >> 16n;
  if (!cpu.isCanonical(Number(address >> 32n))) return cpu.raiseWith(Vector.GP, 0);
  const { base, limit } = tableOf(instruction);
  machine.rareChange(base);
  machine.rareChange(limit);
  u64[base] = address;
  u64[limit] = image & 0xffffn;
  return advance(machine, instruction);
}

/** SGDT and SIDT. */
export function storeTable(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const { u64 } = cpu.regs;
  if (userModePrevented(machine)) return false;
  if (!reachMemory(machine, instruction, PSEUDO_DESCRIPTOR, Access.WRITE)) return false;
  const { base, limit } = tableOf(instruction);
  cpu.storeChecked(PSEUDO_DESCRIPTOR, (u64[base]! << 16n) | (u64[limit]! & 0xffffn));
  return advance(machine, instruction);
}

interface SystemSegment {
  readonly low: number;
  readonly high: number;
  readonly base: bigint;
}

/** Reads the 16-byte descriptor of type `type` that LLDT or LTR loads; undefined when it may not be loaded. */
function systemSegment(machine: Machine, selector: number, type: number): SystemSegment | undefined {
  const { cpu } = machine;
  const code = selector & 0xfffc;
  const refuse = (vector: number): undefined => {
    cpu.raiseWith(vector, code);
  };
  if (selector & 4) return refuse(Vector.GP);
  // Both halves lie within the limit, or neither is read.
  if ((selector | 7) + 8 > machine.u32[2 * Reg.GDTR_LIMIT]!) return refuse(Vector.GP);
  if (!machine.readDescriptor(selector, Vector.GP, code)) return undefined;
  const low = machine.readLow;
  const high = machine.readHigh;
  if (high & Segment.CODE_OR_DATA || systemType(high) !== type) return refuse(Vector.GP);
  if (!(high & Segment.PRESENT)) return refuse(Vector.NP);
  if (!machine.readDescriptor(selector + 8, Vector.GP, code)) return undefined;
  if (machine.readHigh & UPPER_TYPE || !cpu.isCanonical(machine.readLow)) return refuse(Vector.GP);
  return { low, high, base: (BigInt(machine.readLow) << 32n) | descriptorBase(low, high) };
}

export function lldt(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const source = readOperand(machine, instruction, 0);
  if (source === undefined) return false;
  const selector = Number(source & 0xffffn);
  let base = 0n;
  // Without an LDT every selector that is in it lies beyond its limit.
  let limit = 0;
  if ((selector & 0xfffc) !== 0) {
    const segment = systemSegment(machine, selector, SystemType.LDT);
    if (!segment) return false;
    base = segment.base;
    limit = descriptorLimit(segment.low, segment.high);
  }
  machine.rareChange(Reg.LDTR);
  u64[Reg.LDTR_BASE] = base;
  u32[2 * Reg.LDTR_LIMIT] = limit;
  u32[2 * Reg.LDTR] = selector;
  return advance(machine, instruction);
}

export function ltr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const source = readOperand(machine, instruction, 0);
  if (source === undefined) return false;
  const selector = Number(source & 0xffffn);
  if ((selector & 0xfffc) === 0) return cpu.raiseWith(Vector.GP, 0);
  const segment = systemSegment(machine, selector, SystemType.AVAILABLE_TSS);
  if (!segment || !setDescriptorBits(machine, selector, segment.high, TSS_BUSY)) return false;
  machine.rareChange(Reg.TR);
  u64[Reg.TR_BASE] = segment.base;
  u32[2 * Reg.TR_LIMIT] = descriptorLimit(segment.low, segment.high);
  u32[2 * Reg.TR] = selector;
  return advance(machine, instruction);
}

/** SLDT and STR: zero-extended in a register, 16 bits in memory. */
export function storeSelector(machine: Machine, instruction: Instruction): boolean {
  if (userModePrevented(machine)) return false;
  const selector = machine.u32[2 * (instruction.mnemonic === Mnemonic.Sldt ? Reg.LDTR : Reg.TR)]!;
  return writeOperand(machine, instruction, 0, BigInt(selector)) && advance(machine, instruction);
}
