/**
 * RDMSR and WRMSR, and the model-specific registers that the machine has (SDM vol. 2; vol. 4, table 2-2; APM vol. 2,
 * appendix A). One that it does not have is refused with the line that names it: only in ring 3 its number is without
 * meaning, since the privilege check comes first. What a mechanism of its own file keeps is entered here by that file.
 */
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { DEBUG_MSRS } from './debug_registers.js';
import { FRED_MSRS } from './fred_msrs.js';
import { LOCAL_APIC_MSRS } from './local_apic_msrs.js';
import { MACHINE_CHECK_MSRS } from './machine_check_msrs.js';
import { advance } from './operands.js';
import { VMX_MSRS } from './vmx_msrs.js';

/** Whoever makes the access, for messages: an instruction, or a VM entry or exit with a list of MSRs. */
type Accessor = Pick<Instruction, 'address'>;

/** What RDMSR and WRMSR do with one register. An access that the processor rejects is #GP(0). */
export interface Msr {
  /** Its value; undefined: #GP(0). */
  readonly read: (machine: Machine, instruction: Accessor) => bigint | undefined;
  /** Stores all 64 bits of EDX:EAX; false: #GP(0). */
  readonly write: (machine: Machine, value: bigint, instruction: Accessor) => boolean;
}

/** IA32_EFER bits (SDM vol. 3, 2.2.1). */
export const Efer = { SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;
/** AMD: SVME, LMSLE, FFXSR and TCE (APM vol. 2, 3.1.7). */
const EFER_AMD = 0xfn << 12n;

/**
 * IA32_MISC_ENABLE (SDM vol. 4, table 2-2): fast strings, thermal control, SpeedStep, MONITOR and xTPR are switches.
 */
const MiscEnable = {
  FAST_STRINGS: 1n << 0n,
  WRITABLE: (1n << 0n) | (1n << 3n) | (1n << 16n) | (1n << 18n) | (1n << 23n),
  /** Performance monitoring available; branch trace storage and PEBS unavailable. */
  READ_ONLY: (1n << 7n) | (1n << 11n) | (1n << 12n),
  /** Limit CPUID maxval, execute-disable bit disable: the machine has no such switch. */
  REFUSED: (1n << 22n) | (1n << 34n),
} as const;

/** Memory types that a field of IA32_PAT may name: UC, WC, WT, WP, WB, UC- (SDM vol. 3, 11.12.2). */
const PAT_TYPES: ReadonlySet<number> = new Set([0, 1, 4, 5, 6, 7]);

/** What the registers hold after a reset. */
export const PAT_RESET = 0x0007040600070406n;
export const MISC_ENABLE_RESET = MiscEnable.FAST_STRINGS;

/** IA32_SPEC_CTRL: IBRS, STIBP, SSBD and, on Intel, the switches of CPUID leaf 7, subleaf 2; on AMD, PSFD. */
const SPEC_CTRL = { intel: 0x5ffn, amd: 0x87n } as const;
const PRED_CMD_IBPB = 1n;
const FLUSH_CMD_L1D = 1n;
/** RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, MDS_NO: nothing that would ask software for a workaround of its own. */
const ARCH_CAPABILITIES = 0x2bn;

const LOW_HALF = 0xffffffffn;

function store(machine: Machine, register: number, value: bigint): true {
  machine.rareChange(register);
  machine.cpu.regs.u64[register] = value;
  return true;
}

/** A register that takes what has none of the `reserved` bits. */
export function plainMsr(register: number, reserved = 0n): Msr {
  return {
    read: (machine) => machine.cpu.regs.u64[register]!,
    write: (machine, value) => !(value & reserved) && store(machine, register, value),
  };
}

/** A register that takes canonical addresses. */
export function addressMsr(register: number): Msr {
  return {
    read: (machine) => machine.cpu.regs.u64[register]!,
    write: (machine, value) => machine.cpu.isCanonical(Number(value >> 32n)) && store(machine, register, value),
  };
}

/** A command: written for its effect on caches and predictors, which the machine does not have. Not readable. */
function commandMsr(bits: bigint): Msr {
  return { read: () => undefined, write: (_machine, value) => !(value & ~bits) };
}

function intelOnly(msr: Msr): Msr {
  return {
    read: (machine, instruction) => (machine.profile.vendor === 'intel' ? msr.read(machine, instruction) : undefined),
    write: (machine, value, instruction) =>
      machine.profile.vendor === 'intel' && msr.write(machine, value, instruction),
  };
}

/**
 * Where SYSENTER does not work in long mode, its pointers have 32 bits and the upper half is ignored (APM vol. 2,
 * 6.1.2).
 */
function sysenterPointer(register: number): Msr {
  const full = addressMsr(register);
  return {
    read: full.read,
    write: (machine, value, instruction) =>
      machine.profile.sysenterInLongMode
        ? full.write(machine, value, instruction)
        : store(machine, register, value & LOW_HALF),
  };
}

const efer: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.EFER]!,
  write: (machine, value, instruction) => {
    const defined = Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE;
    const unknown = value & ~BigInt(defined);
    if (unknown !== 0n && machine.profile.vendor === 'amd' && !(unknown & ~EFER_AMD))
      throw new NotModelled(instruction.address, 'sets SVME, LMSLE, FFXSR or TCE in EFER, which are not modelled');
    if (unknown !== 0n) return false;
    const low = Number(value);
    const current = machine.u32[2 * Reg.EFER]!;
    // Paging is on: LME cannot change; LMA is read-only.
    if ((low ^ current) & Efer.LME) return false;
    if (!(low & Efer.NXE)) throw new NotModelled(instruction.address, 'clears EFER.NXE; execute-disable is always on');
    return store(machine, Reg.EFER, BigInt((low & ~Efer.LMA) | (current & Efer.LMA)));
  },
};

/** On AMD the upper half is not reserved but missing. */
const tscAux: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.TSC_AUX]!,
  write: (machine, value) =>
    (machine.profile.vendor === 'amd' || value <= LOW_HALF) && store(machine, Reg.TSC_AUX, value & LOW_HALF),
};

const pat: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.PAT]!,
  write: (machine, value) => {
    for (let shift = 0n; shift < 64n; shift += 8n) if (!PAT_TYPES.has(Number((value >> shift) & 0xffn))) return false;
    return store(machine, Reg.PAT, value);
  },
};

const miscEnable: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.MISC_ENABLE]!,
  write: (machine, value, instruction) => {
    const current = machine.cpu.regs.u64[Reg.MISC_ENABLE]!;
    const changed = (value ^ current) & ~MiscEnable.READ_ONLY;
    if (changed & MiscEnable.REFUSED)
      throw new NotModelled(
        instruction.address,
        'changes the CPUID limit or execute-disable in IA32_MISC_ENABLE, which is not modelled',
      );
    if (changed & ~MiscEnable.WRITABLE) return false;
    return store(machine, Reg.MISC_ENABLE, current ^ changed);
  },
};

const specCtrl: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.SPEC_CTRL]!,
  write: (machine, value) => !(value & ~SPEC_CTRL[machine.profile.vendor]) && store(machine, Reg.SPEC_CTRL, value),
};

const MSRS: ReadonlyMap<number, Msr> = new Map([
  [0x48, specCtrl],
  [0x49, commandMsr(PRED_CMD_IBPB)],
  [0x10a, intelOnly({ read: () => ARCH_CAPABILITIES, write: () => false })],
  [0x10b, intelOnly(commandMsr(FLUSH_CMD_L1D))],
  // Bits 63 to 32 of IA32_SYSENTER_CS are not used.
  [0x174, { ...plainMsr(Reg.SYSENTER_CS), write: (m, value) => store(m, Reg.SYSENTER_CS, value & LOW_HALF) }],
  [0x175, sysenterPointer(Reg.SYSENTER_ESP)],
  [0x176, sysenterPointer(Reg.SYSENTER_EIP)],
  [0x1a0, intelOnly(miscEnable)],
  ...FRED_MSRS,
  [0x277, pat],
  ...MACHINE_CHECK_MSRS,
  ...LOCAL_APIC_MSRS,
  ...VMX_MSRS,
  [0xc0000080, efer],
  [0xc0000081, plainMsr(Reg.STAR)],
  [0xc0000082, addressMsr(Reg.LSTAR)],
  [0xc0000083, addressMsr(Reg.CSTAR)],
  [0xc0000084, plainMsr(Reg.FMASK, ~LOW_HALF)],
  [0xc0000100, addressMsr(Reg.FS_BASE)],
  [0xc0000101, addressMsr(Reg.GS_BASE)],
  [0xc0000102, addressMsr(Reg.KERNEL_GS_BASE)],
  [0xc0000103, tscAux],
  ...DEBUG_MSRS,
]);

/** The numbers that processors and hypervisors use, by their upper 16 bits: no register is anywhere else. */
const MSR_RANGES: ReadonlySet<number> = new Set([0, 0x4000, 0xc000, 0xc001]);
const NO_MSR: Msr = { read: () => undefined, write: () => false };

/** The MSR with this number; a NotModelled if processors may have it, but not the machine. */
function msrOf(number: number, instruction: Accessor): Msr {
  const msr = MSRS.get(number);
  if (!msr && !MSR_RANGES.has(number >>> 16)) return NO_MSR;
  if (!msr) {
    throw new NotModelled(
      instruction.address,
      `MSR 0x${number.toString(16)} is not modelled; keep accesses to it out of the code under test`,
    );
  }
  return msr;
}

/** Accesses to MSRs by their numbers, in ring 0. */
export interface MsrAccess {
  /** The value; undefined: RDMSR would be #GP(0). */
  readonly read: (machine: Machine, number: number, accessor: Accessor) => bigint | undefined;
  /** False: WRMSR would be #GP(0). */
  readonly write: (machine: Machine, number: number, value: bigint, accessor: Accessor) => boolean;
}

export const MSR_ACCESS: MsrAccess = {
  read: (machine, number, accessor) => msrOf(number, accessor).read(machine, accessor),
  write: (machine, number, value, accessor) => msrOf(number, accessor).write(machine, value, accessor),
};

export function rdmsr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = MSR_ACCESS.read(machine, u32[2 * Reg.RCX]!, instruction);
  if (value === undefined) return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[Reg.RAX] = value & LOW_HALF;
  cpu.regs.u64[Reg.RDX] = value >> 32n;
  return advance(machine, instruction);
}

export function wrmsr(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = (BigInt(u32[2 * Reg.RDX]!) << 32n) | BigInt(u32[2 * Reg.RAX]!);
  if (!MSR_ACCESS.write(machine, u32[2 * Reg.RCX]!, value, instruction)) return cpu.raiseWith(Vector.GP, 0);
  return advance(machine, instruction);
}
