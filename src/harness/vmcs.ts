/**
 * The virtual-machine control structure (SDM vol. 3, chapter 24, and appendix B for the encodings of its fields). It lies in
 * guest memory at the physical address that VMPTRLD has made current. Its format is the processor's own business; here it
 * is, in 8-byte words: the revision identifier, the launch state, then one word for each field in the order of the list.
 */
import { Reg } from '../cpu/registers.js';
import type { Machine } from './machine.js';

/** What software writes into the first 31 bits of a VMXON region or a VMCS; VMX_BASIC reports it. */
export const VMCS_REVISION = 0x656e74;
/** The VMCS pointer while no VMCS is current. */
export const NO_VMCS = 0xffffffffffffffffn;

/** The fields that the machine has. One that is missing here is an unsupported VMCS component. */
const ENCODINGS = {
  GUEST_ES_SELECTOR: 0x0800,
  GUEST_CS_SELECTOR: 0x0802,
  GUEST_SS_SELECTOR: 0x0804,
  GUEST_DS_SELECTOR: 0x0806,
  GUEST_FS_SELECTOR: 0x0808,
  GUEST_GS_SELECTOR: 0x080a,
  GUEST_LDTR_SELECTOR: 0x080c,
  GUEST_TR_SELECTOR: 0x080e,
  HOST_ES_SELECTOR: 0x0c00,
  HOST_CS_SELECTOR: 0x0c02,
  HOST_SS_SELECTOR: 0x0c04,
  HOST_DS_SELECTOR: 0x0c06,
  HOST_FS_SELECTOR: 0x0c08,
  HOST_GS_SELECTOR: 0x0c0a,
  HOST_TR_SELECTOR: 0x0c0c,
  MSR_BITMAPS: 0x2004,
  EXIT_MSR_STORE_ADDRESS: 0x2006,
  EXIT_MSR_LOAD_ADDRESS: 0x2008,
  ENTRY_MSR_LOAD_ADDRESS: 0x200a,
  VMCS_LINK_POINTER: 0x2800,
  GUEST_DEBUGCTL: 0x2802,
  GUEST_EFER: 0x2806,
  HOST_EFER: 0x2c02,
  PIN_BASED_CONTROLS: 0x4000,
  PROCESSOR_BASED_CONTROLS: 0x4002,
  EXCEPTION_BITMAP: 0x4004,
  PAGE_FAULT_MASK: 0x4006,
  PAGE_FAULT_MATCH: 0x4008,
  CR3_TARGET_COUNT: 0x400a,
  EXIT_CONTROLS: 0x400c,
  EXIT_MSR_STORE_COUNT: 0x400e,
  EXIT_MSR_LOAD_COUNT: 0x4010,
  ENTRY_CONTROLS: 0x4012,
  ENTRY_MSR_LOAD_COUNT: 0x4014,
  ENTRY_INTERRUPTION_INFORMATION: 0x4016,
  ENTRY_EXCEPTION_ERROR_CODE: 0x4018,
  ENTRY_INSTRUCTION_LENGTH: 0x401a,
  INSTRUCTION_ERROR: 0x4400,
  EXIT_REASON: 0x4402,
  EXIT_INTERRUPTION_INFORMATION: 0x4404,
  EXIT_INTERRUPTION_ERROR_CODE: 0x4406,
  IDT_VECTORING_INFORMATION: 0x4408,
  IDT_VECTORING_ERROR_CODE: 0x440a,
  EXIT_INSTRUCTION_LENGTH: 0x440c,
  GUEST_ES_LIMIT: 0x4800,
  GUEST_CS_LIMIT: 0x4802,
  GUEST_SS_LIMIT: 0x4804,
  GUEST_DS_LIMIT: 0x4806,
  GUEST_FS_LIMIT: 0x4808,
  GUEST_GS_LIMIT: 0x480a,
  GUEST_LDTR_LIMIT: 0x480c,
  GUEST_TR_LIMIT: 0x480e,
  GUEST_GDTR_LIMIT: 0x4810,
  GUEST_IDTR_LIMIT: 0x4812,
  GUEST_ES_ACCESS_RIGHTS: 0x4814,
  GUEST_CS_ACCESS_RIGHTS: 0x4816,
  GUEST_SS_ACCESS_RIGHTS: 0x4818,
  GUEST_DS_ACCESS_RIGHTS: 0x481a,
  GUEST_FS_ACCESS_RIGHTS: 0x481c,
  GUEST_GS_ACCESS_RIGHTS: 0x481e,
  GUEST_LDTR_ACCESS_RIGHTS: 0x4820,
  GUEST_TR_ACCESS_RIGHTS: 0x4822,
  GUEST_INTERRUPTIBILITY: 0x4824,
  GUEST_ACTIVITY: 0x4826,
  GUEST_SMBASE: 0x4828,
  GUEST_SYSENTER_CS: 0x482a,
  HOST_SYSENTER_CS: 0x4c00,
  CR0_MASK: 0x6000,
  CR4_MASK: 0x6002,
  CR0_READ_SHADOW: 0x6004,
  CR4_READ_SHADOW: 0x6006,
  EXIT_QUALIFICATION: 0x6400,
  GUEST_LINEAR_ADDRESS: 0x640a,
  GUEST_CR0: 0x6800,
  GUEST_CR3: 0x6802,
  GUEST_CR4: 0x6804,
  GUEST_ES_BASE: 0x6806,
  GUEST_CS_BASE: 0x6808,
  GUEST_SS_BASE: 0x680a,
  GUEST_DS_BASE: 0x680c,
  GUEST_FS_BASE: 0x680e,
  GUEST_GS_BASE: 0x6810,
  GUEST_LDTR_BASE: 0x6812,
  GUEST_TR_BASE: 0x6814,
  GUEST_GDTR_BASE: 0x6816,
  GUEST_IDTR_BASE: 0x6818,
  GUEST_DR7: 0x681a,
  GUEST_RSP: 0x681c,
  GUEST_RIP: 0x681e,
  GUEST_RFLAGS: 0x6820,
  GUEST_PENDING_DEBUG: 0x6822,
  GUEST_SYSENTER_ESP: 0x6824,
  GUEST_SYSENTER_EIP: 0x6826,
  HOST_CR0: 0x6c00,
  HOST_CR3: 0x6c02,
  HOST_CR4: 0x6c04,
  HOST_FS_BASE: 0x6c06,
  HOST_GS_BASE: 0x6c08,
  HOST_TR_BASE: 0x6c0a,
  HOST_GDTR_BASE: 0x6c0c,
  HOST_IDTR_BASE: 0x6c0e,
  HOST_SYSENTER_ESP: 0x6c10,
  HOST_SYSENTER_EIP: 0x6c12,
  HOST_RSP: 0x6c14,
  HOST_RIP: 0x6c16,
} as const;

export type FieldName = keyof typeof ENCODINGS;
export const FIELD_NAMES = Object.keys(ENCODINGS) as FieldName[];

/** A field as VMREAD and VMWRITE know it. */
export interface VmcsField {
  readonly name: FieldName;
  readonly encoding: number;
  readonly bits: 16 | 32 | 64;
  /** VM-exit information: software cannot write it. */
  readonly readOnly: boolean;
  /** Its word in the VMCS. */
  readonly word: number;
}

/** Bits 14:13 of an encoding: 16 bits, 64 bits, 32 bits, natural width. */
const WIDTHS = [16, 64, 32, 64] as const;
const LAUNCH_STATE = 1;
const FIRST_FIELD = 2;

const FIELDS: Readonly<Record<FieldName, VmcsField>> = Object.fromEntries(
  FIELD_NAMES.map((name, i) => {
    const encoding = ENCODINGS[name];
    const readOnly = ((encoding >>> 10) & 3) === 1;
    return [name, { name, encoding, bits: WIDTHS[(encoding >>> 13) & 3]!, readOnly, word: FIRST_FIELD + i }];
  }),
) as Record<FieldName, VmcsField>;

const BY_ENCODING: ReadonlyMap<number, VmcsField> = new Map(FIELD_NAMES.map((n) => [FIELDS[n].encoding, FIELDS[n]]));

/** Bit 0 of an encoding: the upper half of a 64-bit field. */
const HIGH_ACCESS = 1;
const WIDTH_64 = 1;

/** The field that an encoding names, and whether only its upper half; undefined: an unsupported VMCS component. */
export function fieldEncoded(encoding: bigint): { readonly field: VmcsField; readonly high: boolean } | undefined {
  if (encoding >> 32n !== 0n) return undefined;
  const number = Number(encoding);
  const high = (number & HIGH_ACCESS) !== 0 && number >>> 13 === WIDTH_64;
  const field = BY_ENCODING.get(high ? number - HIGH_ACCESS : number);
  return field && { field, high };
}

/** The encoding of a field: for those who write code. */
export function encodingOf(name: FieldName): number {
  return ENCODINGS[name];
}

/** Where a field lies in a VMCS, in bytes. */
export function fieldOffset(name: FieldName): number {
  return 8 * FIELDS[name].word;
}

/** The first word (buffer offset / 8) of the current VMCS, of the running processor's or another's; -1 if none is current. */
export function currentVmcs(machine: Machine, processor = machine.processors.running): number {
  const pointer = machine.cpu.regs.u64[machine.processors.place(processor, Reg.VMCS_POINTER) / 2]!;
  return pointer === NO_VMCS ? -1 : machine.memory.physicalWord(pointer);
}

/** The 64-bit word `word` of a VMCS. */
function load(machine: Machine, word: number): bigint {
  machine.cpu.noteRead(word);
  return machine.memory.view.getBigUint64(8 * word, true);
}

function store(machine: Machine, word: number, value: bigint): void {
  machine.memory.willWrite(word);
  machine.memory.view.setBigUint64(8 * word, value, true);
}

/** A field of the current VMCS. */
export function readField(machine: Machine, name: FieldName): bigint {
  return load(machine, currentVmcs(machine) + FIELDS[name].word);
}

/** The lower 32 bits of a field of the current VMCS, unsigned. */
export function readField32(machine: Machine, name: FieldName, processor?: number): number {
  const word = currentVmcs(machine, processor) + FIELDS[name].word;
  machine.cpu.noteRead(word);
  return machine.memory.u32[2 * word]!;
}

/** Stores as many bits as the field has. */
export function writeField(machine: Machine, name: FieldName, value: bigint): void {
  const field = FIELDS[name];
  store(machine, currentVmcs(machine) + field.word, BigInt.asUintN(field.bits, value));
}

/** Whether the VMCS at `word` has been launched since it was cleared. */
export function isLaunched(machine: Machine, vmcs: number): boolean {
  return load(machine, vmcs + LAUNCH_STATE) !== 0n;
}

export function setLaunched(machine: Machine, vmcs: number, launched: boolean): void {
  store(machine, vmcs + LAUNCH_STATE, launched ? 1n : 0n);
}

/** What software has put where the revision identifier belongs: 32 bits. */
export function revisionAt(machine: Machine, vmcs: number): number {
  return Number(load(machine, vmcs) & 0xffffffffn);
}
