/**
 * The register file: every architectural register of the machine in one typed array, 64 bits each.
 * The first 18 are the ones that the engine computes with; the rest belong to the harness alone.
 */
import type { SharedBuffer } from './unicorn.js';

/** Register numbers; 0–15 are the instruction encoding's numbers (SDM vol. 2, table 3-1). */
export const Reg = {
  RAX: 0,
  RCX: 1,
  RDX: 2,
  RBX: 3,
  RSP: 4,
  RBP: 5,
  RSI: 6,
  RDI: 7,
  R8: 8,
  R9: 9,
  R10: 10,
  R11: 11,
  R12: 12,
  R13: 13,
  R14: 14,
  R15: 15,
  RIP: 16,
  RFLAGS: 17,
  CS: 18,
  SS: 19,
  FS_BASE: 20,
  GS_BASE: 21,
  KERNEL_GS_BASE: 22,
  CR2: 23,
  CR3: 24,
  /** What the processor remembers about events between instructions: see src/harness/event_state.ts. */
  EVENTS: 25,
  // From here on, registers that entry code hardly ever changes.
  DS: 26,
  ES: 27,
  FS: 28,
  GS: 29,
  CR0: 30,
  CR4: 31,
  EFER: 32,
  STAR: 33,
  LSTAR: 34,
  FMASK: 35,
  TR_BASE: 36,
  TR_LIMIT: 37,
  GDTR_BASE: 38,
  GDTR_LIMIT: 39,
  IDTR_BASE: 40,
  IDTR_LIMIT: 41,
  TSC_AUX: 42,
  /** Selector of the task register. */
  TR: 43,
  LDTR: 44,
  LDTR_BASE: 45,
  LDTR_LIMIT: 46,
  SYSENTER_CS: 47,
  SYSENTER_ESP: 48,
  SYSENTER_EIP: 49,
  CSTAR: 50,
  DR0: 51,
  DR1: 52,
  DR2: 53,
  DR3: 54,
  DR6: 55,
  DR7: 56,
  /** AMD: address masks of the four breakpoints. */
  DR0_MASK: 57,
  DR1_MASK: 58,
  DR2_MASK: 59,
  DR3_MASK: 60,
  DEBUGCTL: 61,
  APIC_BASE: 62,
  SMBASE: 63,
  SPEC_CTRL: 64,
  FRED_RSP0: 65,
  FRED_RSP1: 66,
  FRED_RSP2: 67,
  FRED_RSP3: 68,
  FRED_STKLVLS: 69,
  FRED_SSP1: 70,
  FRED_SSP2: 71,
  FRED_SSP3: 72,
  /** Bits 1 and 0 are the current stack level. */
  FRED_CONFIG: 73,
  VMXON_POINTER: 74,
  VMCS_POINTER: 75,
  /** Number of the logical processor that these registers belong to. */
  PROCESSOR: 76,
  PAT: 77,
  MISC_ENABLE: 78,
} as const;

export type RegisterName = keyof typeof Reg;

/** How many registers the engine computes with: the general registers, RIP and RFLAGS. */
export const ENGINE_REGISTERS = 18;
/** The first of the registers that entry code hardly ever changes: whoever changes one calls Machine.rareChange. */
export const RARE_REGISTERS = 26;
export const REGISTER_COUNT = 79;

/** The names as people write them, by number. */
export const REGISTER_NAMES: readonly string[] = Object.keys(Reg).map((name) => name.toLowerCase());

/** RFLAGS bits (SDM vol. 1, 3.4.3). */
export const Flag = {
  CF: 1 << 0,
  ONE: 1 << 1,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  DF: 1 << 10,
  OF: 1 << 11,
  IOPL: 3 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  AC: 1 << 18,
  VIF: 1 << 19,
  VIP: 1 << 20,
  ID: 1 << 21,
} as const;

/**
 * Both views are on the same memory: `u64[i]` is `u32[2 * i]` (low half) and `u32[2 * i + 1]` (high half). With several
 * processors the registers of those that are not running follow, one bank each: see src/harness/processors.ts.
 */
export class RegisterFile {
  readonly u64: BigUint64Array;
  readonly u32: Uint32Array;

  /** `banks`: REGISTER_COUNT registers each. */
  constructor(shared: SharedBuffer, banks: number) {
    this.u64 = new BigUint64Array(shared.buffer, 0, REGISTER_COUNT * banks);
    this.u32 = new Uint32Array(shared.buffer, 0, REGISTER_COUNT * 2 * banks);
  }
}
