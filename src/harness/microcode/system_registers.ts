/** RDMSR, WRMSR, MOV to and from control registers, RD/WR FS/GSBASE, INVLPG (SDM vol. 2 and vol. 4). */
import { Mnemonic, Register, RegisterExt } from 'iced-x86';
import { isCanonical, Vector } from '../../cpu/cpu.js';
import { type Instruction, registerNumber } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, readOperand, writeOperand } from './operands.js';

/** What a model-specific register takes: an address (canonical), 32 bits, or anything. */
type Contents = 'address' | 'low' | 'any';

/** Model-specific registers that the machine has (SDM vol. 4, table 2-2). */
const MSRS: ReadonlyMap<number, { readonly register: number; readonly contents: Contents }> = new Map([
  [0xc0000080, { register: Reg.EFER, contents: 'low' }],
  [0xc0000081, { register: Reg.STAR, contents: 'any' }],
  [0xc0000082, { register: Reg.LSTAR, contents: 'address' }],
  [0xc0000084, { register: Reg.FMASK, contents: 'low' }],
  [0xc0000100, { register: Reg.FS_BASE, contents: 'address' }],
  [0xc0000101, { register: Reg.GS_BASE, contents: 'address' }],
  [0xc0000102, { register: Reg.KERNEL_GS_BASE, contents: 'address' }],
  [0xc0000103, { register: Reg.TSC_AUX, contents: 'low' }],
]);

/** IA32_EFER bits (SDM vol. 3, 2.2.1). */
const Efer = { SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;

/** CR0 and CR4 bits (SDM vol. 3, 2.5). */
const Cr0 = { PE: 1 << 0, ET: 1 << 4, NW: 1 << 29, CD: 1 << 30, PG: 1 << 31, DEFINED: 0xe005003f } as const;
const Cr4 = {
  PVI: 1 << 1,
  PAE: 1 << 5,
  FSGSBASE: 1 << 16,
  PCIDE: 1 << 17,
  /** SMEP, SMAP, PKE, CET, PKS, UINTR, LASS, LAM: what the machine would have to enforce. */
  ENFORCED: (1 << 20) | (1 << 21) | (1 << 22) | (1 << 23) | (1 << 24) | (1 << 25) | (1 << 27) | (1 << 28),
  /** LA57 among them: it cannot change in IA-32e mode. */
  RESERVED: (1 << 12) | (1 << 15) | (1 << 26) | (7 << 29),
} as const;
/** CR3 bit 63 with PCIDs: do not invalidate. It is not kept. Above the physical address, bits are reserved. */
const CR3_NO_FLUSH = 1n << 63n;
const PHYSICAL_ADDRESS_BITS = 52n;

/** The MSR that RCX names; undefined, with #GP raised, outside ring 0. */
function msrOf(machine: Machine, instruction: Instruction): { register: number; contents: Contents } | undefined {
  const number = machine.u32[2 * Reg.RCX]!;
  if (machine.cpu.cpl !== 0) {
    machine.cpu.raiseWith(Vector.GP, 0);
    return undefined;
  }
  const msr = MSRS.get(number);
  if (!msr) {
    throw new NotModelled(
      instruction.address,
      `MSR 0x${number.toString(16)} is not modelled; keep accesses to it out of the code under test`,
    );
  }
  return msr;
}

export function rdmsr(machine: Machine, instruction: Instruction): boolean {
  const { u32 } = machine;
  const msr = msrOf(machine, instruction);
  if (!msr) return false;
  u32[2 * Reg.RAX] = u32[2 * msr.register]!;
  u32[2 * Reg.RAX + 1] = 0;
  u32[2 * Reg.RDX] = u32[2 * msr.register + 1]!;
  u32[2 * Reg.RDX + 1] = 0;
  return advance(machine, instruction);
}

export function wrmsr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const msr = msrOf(machine, instruction);
  if (!msr) return false;
  const high = u32[2 * Reg.RDX]!;
  let low = u32[2 * Reg.RAX]!;
  if (msr.contents === 'address' && !isCanonical(high)) return cpu.raiseWith(Vector.GP, 0);
  if (msr.contents === 'low' && high !== 0) return cpu.raiseWith(Vector.GP, 0);
  if (msr.register === Reg.EFER) {
    const current = u32[2 * Reg.EFER]!;
    if (low & ~(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)) return cpu.raiseWith(Vector.GP, 0);
    // Paging is on: LME cannot change; LMA is read-only.
    if ((low ^ current) & Efer.LME) return cpu.raiseWith(Vector.GP, 0);
    if (!(low & Efer.NXE)) throw new NotModelled(instruction.address, 'clears EFER.NXE; execute-disable is always on');
    low = (low & ~Efer.LMA) | (current & Efer.LMA);
  }
  machine.rareChange(msr.register);
  u32[2 * msr.register] = low;
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
  const control = controlOf(instruction, instruction.iced.op1Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[registerNumber(instruction.iced.op0Register)] = cpu.regs.u64[control]!;
  return advance(machine, instruction);
}

export function movToControl(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  const control = controlOf(instruction, instruction.iced.op0Register);
  if (control === undefined) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = cpu.regs.u64[registerNumber(instruction.iced.op1Register)]!;
  const loaded = controlValue(machine, instruction, control, value);
  if (loaded === undefined) return cpu.raiseWith(Vector.GP, 0);
  machine.rareChange(control);
  cpu.regs.u64[control] = loaded;
  return advance(machine, instruction);
}

function controlOf(instruction: Instruction, register: Register): number | undefined {
  if (register === Register.CR8)
    throw new NotModelled(instruction.address, 'CR8 is not modelled: there is no local APIC');
  return CONTROL.get(register);
}

/** What a control register holds after `value` has been moved to it; undefined where that is #GP (SDM vol. 2, MOV CR). */
function controlValue(machine: Machine, instruction: Instruction, control: number, value: bigint): bigint | undefined {
  const current = machine.u32[2 * control]!;
  const low = Number(value & 0xffffffffn);
  if (control === Reg.CR2) return value;
  if (control === Reg.CR3) {
    const bits = machine.u32[2 * Reg.CR4]! & Cr4.PCIDE ? value & ~CR3_NO_FLUSH : value;
    return bits >> PHYSICAL_ADDRESS_BITS === 0n ? bits : undefined;
  }
  if (value >> 32n !== 0n) return undefined;
  if (control === Reg.CR0) {
    // Paging cannot be turned off in 64-bit mode.
    if (!(low & Cr0.PE) || !(low & Cr0.PG) || (low & Cr0.NW && !(low & Cr0.CD))) return undefined;
    return BigInt(((low & Cr0.DEFINED) | Cr0.ET) >>> 0);
  }
  if (!(low & Cr4.PAE) || low & Cr4.RESERVED) return undefined;
  if (low & ~current & Cr4.PCIDE && machine.u32[2 * Reg.CR3]! & 0xfff) return undefined;
  if (low & ~current & (Cr4.ENFORCED | Cr4.PVI)) {
    throw new NotModelled(
      instruction.address,
      `CR4 value 0x${low.toString(16)} turns on what the machine does not model`,
    );
  }
  return value;
}

export function segmentBase(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { mnemonic, iced } = instruction;
  if (!(u32[2 * Reg.CR4]! & Cr4.FSGSBASE)) return cpu.raise(Vector.UD);
  const base = mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Wrfsbase ? Reg.FS_BASE : Reg.GS_BASE;
  if (mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Rdgsbase) {
    writeOperand(machine, instruction, 0, cpu.regs.u64[base]!);
    return advance(machine, instruction);
  }
  const value = readOperand(machine, instruction, 0)!;
  if (RegisterExt.size(iced.op0Register) === 8 && !isCanonical(Number(value >> 32n)))
    return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[base] = value;
  return advance(machine, instruction);
}

/** There is no translation cache to invalidate: only the privilege check is left. */
export function invlpg(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raiseWith(Vector.GP, 0);
  return advance(machine, instruction);
}
