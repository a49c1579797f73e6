/** MOV to and from control registers, CLTS, LMSW, SMSW (SDM vol. 2; vol. 3, 2.5). */
import { OpKind, Register } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { type Instruction, registerNumber } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { inVmxOperation } from '../vmx.js';
import { advance, readOperand, userModePrevented, writeOperand } from './operands.js';
import { movFromCr8, movToCr8 } from './task_priority.js';

/** Bits of the low half. */
export const Cr0 = {
  PE: 1 << 0,
  MP: 1 << 1,
  EM: 1 << 2,
  TS: 1 << 3,
  ET: 1 << 4,
  NW: 1 << 29,
  CD: 1 << 30,
  PG: 1 << 31,
  DEFINED: 0xe005003f,
} as const;

/** Bits of the low half. */
export const Cr4 = {
  TSD: 1 << 2,
  DE: 1 << 3,
  PAE: 1 << 5,
  MCE: 1 << 6,
  PCE: 1 << 8,
  UMIP: 1 << 11,
  LA57: 1 << 12,
  VMXE: 1 << 13,
  FSGSBASE: 1 << 16,
  PCIDE: 1 << 17,
  SMEP: 1 << 20,
  SMAP: 1 << 21,
} as const;
const CR4_FRED = 1n << 32n;

/** What becomes of setting a bit of CR4 that no mechanism of the machine looks at, or that one does. */
const CR4_SETTABLE =
  // VME, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP, LA57 (it cannot change), VMXE.
  0x3dn |
  (0xffn << 6n) |
  // FSGSBASE, PCIDE, OSXSAVE; SMEP, SMAP.
  (7n << 16n) |
  (3n << 20n);
/**
 * Bits that processors have and that the machine would have to enforce: PVI, SMXE, KL, PKE, CET, PKS, UINTR, LASS, LAM.
 */
const CR4_REFUSED = (1n << 1n) | (1n << 14n) | (1n << 19n) | (0xfn << 22n) | (3n << 27n);

/** CR3 bit 63 with PCIDs: do not invalidate. It is not kept. Above the physical address, bits are reserved. */
const CR3_NO_FLUSH = 1n << 63n;
const PHYSICAL_ADDRESS_BITS = 52n;

const CONTROL: ReadonlyMap<Register, number> = new Map([
  [Register.CR0, Reg.CR0],
  [Register.CR2, Reg.CR2],
  [Register.CR3, Reg.CR3],
  [Register.CR4, Reg.CR4],
]);

export function movFromControl(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (instruction.iced.op1Register === Register.CR8) return movFromCr8(machine, instruction);
  const control = CONTROL.get(instruction.iced.op1Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[registerNumber(instruction.iced.op0Register)] = cpu.regs.u64[control]!;
  return advance(machine, instruction);
}

export function movToControl(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (instruction.iced.op0Register === Register.CR8) return movToCr8(machine, instruction);
  const control = CONTROL.get(instruction.iced.op0Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = cpu.regs.u64[registerNumber(instruction.iced.op1Register)]!;
  const loaded = controlValue(machine, instruction, control, value);
  if (loaded === undefined) return cpu.raiseWith(Vector.GP, 0);
  machine.rareChange(control);
  cpu.regs.u64[control] = loaded;
  if (control === Reg.CR3) machine.selectSpace();
  return advance(machine, instruction);
}

/**
 * What a control register holds after `value` has been moved to it; undefined where that is #GP (SDM vol. 2, MOV CR).
 */
function controlValue(machine: Machine, instruction: Instruction, control: number, value: bigint): bigint | undefined {
  if (control === Reg.CR2) return value;
  if (control === Reg.CR3) {
    const bits = machine.u32[2 * Reg.CR4]! & Cr4.PCIDE ? value & ~CR3_NO_FLUSH : value;
    return bits >> PHYSICAL_ADDRESS_BITS === 0n ? bits : undefined;
  }
  if (control === Reg.CR4) return cr4Value(machine, instruction, value);
  const low = Number(value & 0xffffffffn);
  // Paging cannot be turned off in 64-bit mode.
  if (value >> 32n !== 0n || !(low & Cr0.PE) || !(low & Cr0.PG) || (low & Cr0.NW && !(low & Cr0.CD))) return undefined;
  return BigInt(((low & Cr0.DEFINED) | Cr0.ET) >>> 0);
}

function cr4Value(machine: Machine, instruction: Instruction, value: bigint): bigint | undefined {
  const current = machine.cpu.regs.u64[Reg.CR4]!;
  const low = Number(value & 0xffffffffn);
  const changed = low ^ machine.u32[2 * Reg.CR4]!;
  let settable = CR4_SETTABLE;
  if (machine.profile.vendor === 'amd') settable &= ~BigInt(Cr4.VMXE);
  if (machine.profile.fred) settable |= CR4_FRED;
  if (!(low & Cr4.PAE) || value & ~(settable | CR4_REFUSED)) return undefined;
  // VMX operation needs it.
  if (inVmxOperation(machine) && !(low & Cr4.VMXE)) return undefined;
  // The number of paging levels cannot change in IA-32e mode.
  if (changed & Cr4.LA57) return undefined;
  if (low & changed & Cr4.PCIDE && machine.u32[2 * Reg.CR3]! & 0xfff) return undefined;
  if (value & ~current & CR4_REFUSED) {
    throw new NotModelled(
      instruction.address,
      `CR4 value 0x${value.toString(16)} turns on what the machine does not model`,
    );
  }
  return value;
}

export function clts(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raiseWith(Vector.GP, 0);
  machine.rareChange(Reg.CR0);
  machine.u32[2 * Reg.CR0]! &= ~Cr0.TS;
  return advance(machine, instruction);
}

/** Loads PE, MP, EM and TS; PE cannot be cleared. */
export function lmsw(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const source = readOperand(machine, instruction, 0);
  if (source === undefined) return false;
  const loaded = Cr0.MP | Cr0.EM | Cr0.TS;
  machine.rareChange(Reg.CR0);
  u32[2 * Reg.CR0] = ((u32[2 * Reg.CR0]! & ~loaded) | (Number(source & 0xffffn) & loaded)) >>> 0;
  return advance(machine, instruction);
}

/** Stores 16 bits of CR0 in memory, as many as it has room for in a register. */
export function smsw(machine: Machine, instruction: Instruction): boolean {
  if (userModePrevented(machine)) return false;
  const word = machine.cpu.regs.u64[Reg.CR0]!;
  const value = instruction.iced.op0Kind === OpKind.Memory ? word & 0xffffn : word;
  return writeOperand(machine, instruction, 0, value) && advance(machine, instruction);
}
