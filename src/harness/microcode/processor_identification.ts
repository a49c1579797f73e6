/**
 * CPUID and RDPID (SDM vol. 2; APM vol. 3, appendix E). CPUID tells of the features that the machine has and of no
 * others, so that code which asks before it uses something stays within the model. Leaves that are not here are zero.
 */
import type { Instruction } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import type { Profile } from '../../profiles/profile.js';
import type { Machine } from '../machine.js';
import { advance, writeOperand } from './operands.js';

/** EAX, EBX, ECX, EDX. */
type Leaf = readonly [number, number, number, number];

const NOTHING: Leaf = [0, 0, 0, 0];
const CR4_OSXSAVE = 1 << 18;
const PHYSICAL_ADDRESS_BITS = 52;

const LAST_BASIC = 7;
const LAST_EXTENDED = { intel: 0x80000008, amd: 0x80000021 } as const;

/** Twelve characters, in the order EBX, EDX, ECX. */
const VENDOR = { intel: 'GenuineIntel', amd: 'AuthenticAMD' } as const;
/** Family, model and stepping: Skylake server; Zen 3. */
const SIGNATURE = { intel: 0x00050654, amd: 0x00a20f10 } as const;

/** Bits by number. */
function bits(...numbers: readonly number[]): number {
  return numbers.reduce((all, n) => all | (1 << n), 0);
}

/** DE, MSR, PAE, MCE, CX8, APIC, SEP, PGE, MCA, CMOV, PAT, CLFSH. */
const LEAF_1_EDX = bits(2, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 19);
/** CMPXCHG16B, PCID, X2APIC. */
const LEAF_1_ECX = bits(13, 17, 21);
const OSXSAVE = bits(27);
const VMX = bits(5);
/** Eight bytes of 8: the cache line that CLFLUSH works on. */
const CLFLUSH_SIZE = 8 << 8;
const ONE_PROCESSOR = 1 << 16;
/** FSGSBASE, BMI1, SMEP, BMI2, INVPCID, ADX, SMAP. */
const LEAF_7_EBX = bits(0, 3, 7, 8, 10, 19, 20);
/** UMIP, RDPID. */
const LEAF_7_ECX = bits(2, 22);
const LA57 = bits(16);
/** IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD. */
const LEAF_7_EDX = bits(26, 27, 28, 29, 31);
/** In subleaf 1: FRED, LKGS. */
const LEAF_7_1_FRED = bits(17, 18);
/** SYSCALL, NX, LM. */
const EXTENDED_1_EDX = bits(11, 20, 29);
/** LAHF in 64-bit mode; LZCNT. */
const EXTENDED_1_ECX = bits(0, 5);
const BREAKPOINT_MASKS = bits(26);
/** AMD: IBPB, IBRS, STIBP, SSBD. */
const EXTENDED_8_EBX = bits(12, 14, 15, 24);
/** AMD: data breakpoints are ignored while a #DB is delivered; a null selector clears the base. */
const NO_NESTED_DATA_BREAKPOINT = bits(0);
const NULL_SELECTOR_CLEARS_BASE = bits(6);

function word(text: string, at: number): number {
  return [0, 1, 2, 3].reduce((value, i) => value | (text.charCodeAt(at + i) << (8 * i)), 0);
}

function vendorLeaf(profile: Profile, last: number): Leaf {
  const name = VENDOR[profile.vendor];
  return [last, word(name, 0), word(name, 8), word(name, 4)];
}

function leafOf(machine: Machine, leaf: number, subleaf: number): Leaf {
  const { profile, u32 } = machine;
  const amd = profile.vendor === 'amd';
  switch (leaf) {
    case 0:
      return vendorLeaf(profile, LAST_BASIC);
    case 1: {
      const saved = u32[2 * Reg.CR4]! & CR4_OSXSAVE ? OSXSAVE : 0;
      const id = (u32[2 * Reg.PROCESSOR]! << 24) | ONE_PROCESSOR | CLFLUSH_SIZE;
      return [SIGNATURE[profile.vendor], id, LEAF_1_ECX | saved | (amd ? 0 : VMX), LEAF_1_EDX];
    }
    case 7:
      if (subleaf === 0) return [1, LEAF_7_EBX, LEAF_7_ECX | (profile.la57 ? LA57 : 0), amd ? 0 : LEAF_7_EDX];
      return subleaf === 1 ? [profile.fred ? LEAF_7_1_FRED : 0, 0, 0, 0] : NOTHING;
    case 0x80000000:
      return amd ? vendorLeaf(profile, LAST_EXTENDED.amd) : [LAST_EXTENDED.intel, 0, 0, 0];
    case 0x80000001: {
      const masks = profile.breakpointAddressMasks ? BREAKPOINT_MASKS : 0;
      return [amd ? SIGNATURE.amd : 0, 0, EXTENDED_1_ECX | masks, EXTENDED_1_EDX];
    }
    case 0x80000008: {
      const sizes = PHYSICAL_ADDRESS_BITS | ((profile.la57 ? 57 : 48) << 8);
      return [sizes, amd ? EXTENDED_8_EBX : 0, 0, 0];
    }
    case 0x80000021: {
      const rules =
        (profile.noNestedDataBreakpoint ? NO_NESTED_DATA_BREAKPOINT : 0) |
        (profile.nullSelectorClearsBase ? NULL_SELECTOR_CLEARS_BASE : 0);
      return amd ? [rules, 0, 0, 0] : NOTHING;
    }
    default:
      return NOTHING;
  }
}

/** On Intel processors a leaf that there is none of gives what the last basic one does; on AMD's it is zero. */
function existing(profile: Profile, leaf: number): number {
  const last = leaf >= 0x80000000 ? LAST_EXTENDED[profile.vendor] : LAST_BASIC;
  return leaf > last && profile.vendor === 'intel' ? LAST_BASIC : leaf;
}

export function cpuid(machine: Machine, instruction: Instruction): boolean {
  const { u32 } = machine;
  const { u64 } = machine.cpu.regs;
  const values = leafOf(machine, existing(machine.profile, u32[2 * Reg.RAX]!), u32[2 * Reg.RCX]!);
  [Reg.RAX, Reg.RBX, Reg.RCX, Reg.RDX].forEach((register, i) => {
    u64[register] = BigInt(values[i]! >>> 0);
  });
  return advance(machine, instruction);
}

/** IA32_TSC_AUX, in every ring. */
export function rdpid(machine: Machine, instruction: Instruction): boolean {
  writeOperand(machine, instruction, 0, machine.cpu.regs.u64[Reg.TSC_AUX]!);
  return advance(machine, instruction);
}
