/** RDMSR, WRMSR, MOV to and from control registers, RD/WR FS/GSBASE, INVLPG (SDM vol. 2 and vol. 4). */
import { Mnemonic, Register, RegisterExt } from 'iced-x86';
import { isCanonical, Vector } from '../../cpu/cpu.js';
import { type Instruction, registerNumber } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, readOperand, writeOperand } from './operands.js';

/** Model-specific registers that the machine has (SDM vol. 4, table 2-2). */
export const MSRS: ReadonlyMap<number, { readonly register: number; readonly canonical: boolean }> = new Map([
  [0xc0000080, { register: Reg.EFER, canonical: false }],
  [0xc0000081, { register: Reg.STAR, canonical: false }],
  [0xc0000082, { register: Reg.LSTAR, canonical: true }],
  [0xc0000084, { register: Reg.FMASK, canonical: false }],
  [0xc0000100, { register: Reg.FS_BASE, canonical: true }],
  [0xc0000101, { register: Reg.GS_BASE, canonical: true }],
  [0xc0000102, { register: Reg.KERNEL_GS_BASE, canonical: true }],
  [0xc0000103, { register: Reg.TSC_AUX, canonical: false }],
]);

const CR4_FSGSBASE = 1 << 16;

export function rdmsr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const msr = cpu.cpl === 0 ? MSRS.get(u32[2 * Reg.RCX]!) : undefined;
  if (!msr) return cpu.raiseWith(Vector.GP, 0);
  u32[2 * Reg.RAX] = u32[2 * msr.register]!;
  u32[2 * Reg.RAX + 1] = 0;
  u32[2 * Reg.RDX] = u32[2 * msr.register + 1]!;
  u32[2 * Reg.RDX + 1] = 0;
  return advance(machine, instruction);
}

export function wrmsr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const msr = cpu.cpl === 0 ? MSRS.get(u32[2 * Reg.RCX]!) : undefined;
  if (!msr) return cpu.raiseWith(Vector.GP, 0);
  const high = u32[2 * Reg.RDX]!;
  if (msr.canonical && !isCanonical(high)) return cpu.raiseWith(Vector.GP, 0);
  machine.rareChange(msr.register);
  u32[2 * msr.register] = u32[2 * Reg.RAX]!;
  u32[2 * msr.register + 1] = high;
  return advance(machine, instruction);
}

const CONTROL: ReadonlyMap<Register, number> = new Map([
  [Register.CR0, Reg.CR0],
  [Register.CR2, Reg.CR2],
  [Register.CR3, Reg.CR3],
  [Register.CR4, Reg.CR4],
]);

export function movFromControl(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const control = CONTROL.get(instruction.iced.op1Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[registerNumber(instruction.iced.op0Register)] = cpu.regs.u64[control]!;
  return advance(machine, instruction);
}

export function movToControl(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const control = CONTROL.get(instruction.iced.op0Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  machine.rareChange(control);
  cpu.regs.u64[control] = cpu.regs.u64[registerNumber(instruction.iced.op1Register)]!;
  return advance(machine, instruction);
}

export function segmentBase(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { mnemonic, iced } = instruction;
  if (!(u32[2 * Reg.CR4]! & CR4_FSGSBASE)) return cpu.raise(Vector.UD);
  const base = mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Wrfsbase ? Reg.FS_BASE : Reg.GS_BASE;
  if (mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Rdgsbase) {
    writeOperand(machine, instruction, 0, cpu.regs.u64[base]!);
    return advance(machine, instruction);
  }
  const value = readOperand(machine, instruction, 0)!;
  if (RegisterExt.size(iced.op0Register) === 8 && !isCanonical(Number(value >> 32n))) return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[base] = value;
  return advance(machine, instruction);
}

/** There is no translation cache to invalidate: only the privilege check is left. */
export function invlpg(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raiseWith(Vector.GP, 0);
  return advance(machine, instruction);
}
