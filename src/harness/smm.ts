/**
 * System-management mode: the SMI and what RSM undoes (SDM vol. 3, chapter 34 "System Management Mode"; APM vol. 2, chapter 10).
 *
 * An SMI saves the processor's state in SMRAM, in the state save area at SMBASE + 8000H + 7C00H to 7FFFH: on an Intel processor
 * in the Intel 64 map (SDM table 34-3), on an AMD one in the AMD64 map (APM table 10-1, from 7E00H on). What is in neither map
 * is not saved: CR2, DR0 to DR3, the MSRs (KERNEL_GS_BASE, STAR, LSTAR, FMASK, the SYSENTER ones, TSC_AUX …), the machine-check
 * registers, and whether NMIs were blocked. RSM loads what it finds there, whoever wrote it: that is SMM code, since SMRAM
 * cannot be reached outside SMM (34.4.2 and 11.11.2.4, the SMRRs; APM vol. 2, 10.2.5, the TSeg). There the processor drops
 * writes and reads a fixed value; here, where addresses are linear, the system's address spaces map nothing at its
 * addresses, which the firmware has reserved: an access is #PF, so that no handler lives on a value that it has read there.
 *
 * NMIs and SMIs are blocked in SMM; one of each is latched. An IRET in SMM unblocks NMIs there. Whether NMIs are blocked after
 * RSM is a knob of the profile (smmNmiPolicy), since the manual (34.8) is not consistent.
 *
 * Departures from the manual, where firmware always does the same before anything else:
 * - SMM code begins in 64-bit mode, flat, with CPL 0, at the symbol `smi_handler` (`smi_handler_iret` for the event smi-iret):
 *   the jump at SMBASE + 8000H, the switch to 64-bit mode, and the loads of GDTR, IDTR, CS, SS and RSP are taken as done. So
 *   an NMI that is delivered in SMM goes to a handler of the firmware's. CR3 stays, and what it selects has SMRAM besides;
 * - of CR4, which is cleared, PAE remains (and LA57, which cannot change): CR4.MCE is clear until SMM code sets it, and an
 *   #MC before that shuts the processor down;
 * - general registers, which are undefined, are what they were.
 * Blocking by STI and by MOV SS ends with the SMI and does not come back with RSM: it is in no map. The I/O restart fields are
 * not modelled: no instruction is interrupted by an SMI in its middle.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { Flag, Reg, type RegisterName } from '../cpu/registers.js';
import type { Profile } from '../profiles/profile.js';
import { Origin } from './delivery.js';
import { EventState, PENDING_DEBUG, SHADOWS } from './event_state.js';
import { type Machine, Return } from './machine.js';

/** Stands for the SMI where an event is named by its vector: it has none. */
export const SMI_VECTOR = 256;

/** What the firmware has prepared in SMRAM: constants of the machine. */
export interface SmmCode {
  /** Where SMM code begins, and where it does when it is to execute an IRET. */
  readonly handler: bigint;
  readonly handlerWithIret: bigint;
  /** Offset of the top of its stack from SMBASE. */
  readonly stack: number;
  /** Selectors in its GDT: a 64-bit code segment and a data segment, both with DPL 0. */
  readonly cs: number;
  readonly ss: number;
  readonly gdt: Table;
  readonly idt: Table;
}

interface Table {
  readonly base: bigint;
  readonly limit: number;
}

const EVENTS = 2 * Reg.EVENTS;

/** CR0, CR4 and IA32_EFER bits (SDM vol. 3, 2.5 and 2.2.1). */
const Cr0 = { PE: 1 << 0, EM: 1 << 2, TS: 1 << 3, NW: 1 << 29, CD: 1 << 30, PG: 1 << 31 } as const;
const Cr4 = { PAE: 1 << 5, LA57: 1 << 12, RESERVED: (1 << 15) | (1 << 26) | (7 << 29), FRED_HIGH: 1 << 0 } as const;
const Efer = { SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;
const EFER_DEFINED = Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE;
/** All flags that there are, without VM. */
const RFLAGS_DEFINED = 0x3d7fd5;
const DR7_CLEARED = 0x400;

/** The state save area, relative to SMBASE, in bytes; the maps count from SMBASE + 8000H. */
const AREA = 0xfc00;
const AREA_SIZE = 0x400;
const MAP_BASE = 0x8000;

/** SMM revision identifier: SMBASE can be moved. */
const SMBASE_RELOCATION = 1 << 17;

/** What RSM brings back although software cannot see it: it lies in a reserved part of the area. */
const HIDDEN_EVENTS =
  PENDING_DEBUG |
  EventState.COMPATIBILITY |
  EventState.VMX_ROOT |
  EventState.VMX_NON_ROOT |
  EventState.VIRTUAL_NMI_BLOCKED;

/** A register in the area: its place there in bytes, how many of its bytes, and from which half on. */
interface Field {
  readonly at: number;
  readonly register: number;
  readonly bytes: 2 | 4 | 8;
  readonly half: 0 | 1;
}

interface StateSaveMap {
  readonly fields: readonly Field[];
  /** SMM revision identifier, 32 bits, and the revision level in it. */
  readonly revision: number;
  readonly level: number;
  /** Bit 0: the processor was halted. */
  readonly autoHalt: number;
  /** 32 reserved bits, in which HIDDEN_EVENTS lie. */
  readonly hidden: number;
  /** The 8-byte words of the area that the map uses. */
  readonly words: readonly number[];
}

/** Fields of the same size, `step` bytes apart; `offset` is that of the first, as the manuals give it. */
function row(bytes: 2 | 4 | 8, half: 0 | 1, offset: number, step: number, ...names: readonly RegisterName[]): Field[] {
  return names.map((name, i) => ({ at: offset + MAP_BASE - AREA + step * i, register: Reg[name], bytes, half }));
}

function saveMap(map: Omit<StateSaveMap, 'words'>): StateSaveMap {
  const words = new Set<number>();
  const others = [map.revision, map.autoHalt, map.hidden].map((at) => ({ at, bytes: 1 }));
  for (const { at, bytes } of [...map.fields, ...others]) {
    for (let byte = at; byte < at + bytes; byte++) words.add(byte >>> 3);
  }
  return { ...map, words: [...words].sort((a, b) => a - b) };
}

/** SDM vol. 3, table 34-3. What the processor saves besides, without a place in the table, lies from 7C00H on here. */
const INTEL_64 = saveMap({
  fields: [
    ...row(8, 0, 0x7ff8, -8, 'CR0', 'CR3', 'RFLAGS', 'EFER', 'RIP', 'DR6', 'DR7'),
    ...row(4, 0, 0x7fc4, -4, 'TR', 'LDTR', 'GS', 'FS', 'DS', 'SS', 'CS', 'ES'),
    ...row(8, 0, 0x7f94, -8, 'RDI', 'RSI', 'RBP', 'RSP', 'RBX', 'RDX', 'RCX', 'RAX'),
    ...row(8, 0, 0x7f54, -8, 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'),
    ...row(4, 0, 0x7ef8, -8, 'SMBASE'),
    ...row(4, 0, 0x7e9c, -8, 'LDTR_BASE', 'IDTR_BASE', 'GDTR_BASE'),
    ...row(4, 0, 0x7e40, -8, 'CR4'),
    ...row(4, 1, 0x7dd8, -4, 'IDTR_BASE', 'LDTR_BASE', 'GDTR_BASE'),
    ...row(8, 0, 0x7c00, 8, 'FS_BASE', 'GS_BASE', 'TR_BASE'),
    ...row(4, 0, 0x7c18, 4, 'TR_LIMIT', 'LDTR_LIMIT', 'IDTR_LIMIT', 'GDTR_LIMIT'),
    ...row(4, 1, 0x7c28, 4, 'CR4'),
  ],
  revision: 0x7efc + MAP_BASE - AREA,
  level: 0x100,
  autoHalt: 0x7f02 + MAP_BASE - AREA,
  hidden: 0x7c2c + MAP_BASE - AREA,
});

/** APM vol. 2, table 10-1. The attributes of segments, which the machine does not keep, stay 0. */
const AMD64 = saveMap({
  fields: [
    ...row(8, 0, 0x7ff8, -8, 'RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI'),
    ...row(8, 0, 0x7fb8, -8, 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'),
    ...row(8, 0, 0x7f78, -8, 'RIP', 'RFLAGS', 'DR6', 'DR7', 'CR0', 'CR3', 'CR4'),
    ...row(4, 0, 0x7f00, 8, 'SMBASE'),
    ...row(8, 0, 0x7ed0, 8, 'EFER'),
    ...row(2, 0, 0x7e00, 16, 'ES', 'CS', 'SS', 'DS', 'FS', 'GS'),
    ...row(8, 0, 0x7e48, 16, 'FS_BASE', 'GS_BASE', 'GDTR_BASE', 'LDTR_BASE', 'IDTR_BASE', 'TR_BASE'),
    ...row(2, 0, 0x7e64, 32, 'GDTR_LIMIT', 'IDTR_LIMIT'),
    ...row(4, 0, 0x7e74, 32, 'LDTR_LIMIT', 'TR_LIMIT'),
    ...row(2, 0, 0x7e70, 32, 'LDTR', 'TR'),
  ],
  revision: 0x7efc + MAP_BASE - AREA,
  level: 0x64,
  autoHalt: 0x7ec9 + MAP_BASE - AREA,
  hidden: 0x7f08 + MAP_BASE - AREA,
});

function mapOf(profile: Profile): StateSaveMap {
  return profile.vendor === 'amd' ? AMD64 : INTEL_64;
}

/** The EVENTS bits that hold an SMI back. */
export function smiBlockingMask(profile: Profile): number {
  return EventState.SMM | EventState.WAIT_FOR_SIPI | (profile.shadowBlocksSmi ? SHADOWS : 0);
}

/** Whether a latched SMI would be taken at a boundary with these EVENTS bits. */
export function smiDeliverable(machine: Machine, events: number): boolean {
  return (events & EventState.SMI_PENDING) !== 0 && !(events & smiBlockingMask(machine.profile));
}

/** Takes the latched SMI: saves the state and begins SMM code. */
export function enterSmm(machine: Machine): void {
  const { u32, happened } = machine;
  const { u64 } = machine.cpu.regs;
  const code = machine.smm;
  if (code === undefined)
    throw new NotModelled(u64[Reg.RIP]!, 'is interrupted by an SMI, and there is no SMM code; define smi_handler');
  machine.leaveInstruction();
  machine.registersBefore.set(u32);
  const events = u32[EVENTS]!;
  saveState(machine, events);
  u64[Reg.RIP] = events & EventState.SMI_WITH_IRET ? code.handlerWithIret : code.handler;
  u64[Reg.RSP] = BigInt(u32[2 * Reg.SMBASE]! + code.stack);
  u64[Reg.RFLAGS] = BigInt(Flag.ONE);
  u64[Reg.CS] = BigInt(code.cs);
  u64[Reg.SS] = BigInt(code.ss);
  for (const register of [Reg.DS, Reg.ES, Reg.FS, Reg.GS, Reg.FS_BASE, Reg.GS_BASE]) u64[register] = 0n;
  u32[2 * Reg.CR0]! &= ~(Cr0.EM | Cr0.TS);
  u32[2 * Reg.CR4]! &= Cr4.PAE | Cr4.LA57;
  u32[2 * Reg.CR4 + 1] = 0;
  u64[Reg.EFER] = BigInt(Efer.LME | Efer.LMA | Efer.NXE);
  u64[Reg.DR7] = BigInt(DR7_CLEARED);
  u64[Reg.GDTR_BASE] = code.gdt.base;
  u64[Reg.GDTR_LIMIT] = BigInt(code.gdt.limit);
  u64[Reg.IDTR_BASE] = code.idt.base;
  u64[Reg.IDTR_LIMIT] = BigInt(code.idt.limit);
  const over = EventState.SMI_PENDING | EventState.SMI_WITH_IRET | EventState.HALTED | SHADOWS | HIDDEN_EVENTS;
  const blocked = events & EventState.NMI_BLOCKED ? EventState.SMM_NMI_BLOCKED : 0;
  u32[EVENTS] = (events & ~over) | EventState.SMM | EventState.NMI_BLOCKED | blocked;
  happened.delivered = true;
  happened.vector = SMI_VECTOR;
  happened.requestedVector = SMI_VECTOR;
  happened.origin = Origin.EXTERNAL;
  happened.ist = 0;
  happened.stackTopLow = u32[2 * Reg.RSP]!;
  happened.stackTopHigh = 0;
  machine.rareChange(Reg.DS);
  machine.changed();
}

/** RSM in SMM: loads the state that is in the save area; a state that no processor can be in shuts it down. */
export function leaveSmm(machine: Machine): void {
  const { u32 } = machine;
  const events = u32[EVENTS]!;
  const image = loadState(machine);
  const map = mapOf(machine.profile);
  const rip = machine.cpu.regs.u64[Reg.RIP]!;
  const before = u32.slice();
  for (const { at, register, bytes, half } of map.fields) {
    u32[2 * register + half] = bytes === 2 ? image.getUint16(at, true) : image.getUint32(at, true);
    if (bytes === 8) u32[2 * register + 1] = image.getUint32(at + 4, true);
  }
  for (const register of [Reg.CS, Reg.SS, Reg.DS, Reg.ES, Reg.FS, Reg.GS, Reg.TR, Reg.LDTR]) {
    u32[2 * register]! &= 0xffff;
  }
  u32[2 * Reg.RFLAGS] = (u32[2 * Reg.RFLAGS]! & RFLAGS_DEFINED) | Flag.ONE;
  u32[2 * Reg.RFLAGS + 1] = 0;
  machine.rareChange(Reg.DS);
  if (!validState(machine, rip)) {
    u32.set(before);
    machine.shutDown('RSM found a state in SMRAM that is not valid');
    return;
  }
  const over =
    EventState.SMM | EventState.SMM_NMI_BLOCKED | EventState.SMM_IRET | EventState.NMI_BLOCKED | EventState.HALTED;
  u32[EVENTS] =
    (events & ~(over | HIDDEN_EVENTS)) |
    (image.getUint32(map.hidden, true) & HIDDEN_EVENTS) |
    (blockedAfterRsm(machine.profile, events) ? EventState.NMI_BLOCKED : 0) |
    (image.getUint8(map.autoHalt) & 1 ? EventState.HALTED : 0);
  machine.happened.returned = Return.RSM;
  machine.changed();
}

/** Whether NMIs are blocked after an RSM that finds these EVENTS bits (SDM vol. 3, 34.8). */
function blockedAfterRsm(profile: Profile, events: number): boolean {
  if (!(events & EventState.SMM_NMI_BLOCKED) || profile.smmNmiPolicy === 'rsm-unblocks') return false;
  return profile.smmNmiPolicy === 'preserved' || !(events & EventState.SMM_IRET);
}

/** SDM vol. 2, RSM: reserved bits of CR4 and combinations in CR0 that do not exist; the same for EFER. */
function validState({ u32, profile }: Machine, rip: bigint): boolean {
  const cr0 = u32[2 * Reg.CR0]!;
  const cr4 = u32[2 * Reg.CR4]!;
  const efer = u32[2 * Reg.EFER]!;
  if (cr0 & Cr0.PG && !(cr0 & Cr0.PE)) return false;
  if (cr0 & Cr0.NW && !(cr0 & Cr0.CD)) return false;
  if (cr4 & Cr4.RESERVED || u32[2 * Reg.CR4 + 1]! & ~(profile.fred ? Cr4.FRED_HIGH : 0)) return false;
  if (efer & ~EFER_DEFINED || u32[2 * Reg.EFER + 1] !== 0) return false;
  const active = (efer & Efer.LME) !== 0 && (cr0 & Cr0.PG) !== 0;
  if (active !== ((efer & Efer.LMA) !== 0) || (active && !(cr4 & Cr4.PAE))) return false;
  if (!active) throw new NotModelled(rip, 'returns from SMM to a mode other than IA-32e mode, which is not modelled');
  return true;
}

const scratch = new Uint32Array(AREA_SIZE / 4);
const scratchView = new DataView(scratch.buffer);

/** The buffer offset of the state save area. */
function areaOffset(machine: Machine): number {
  const smbase = machine.u32[2 * Reg.SMBASE]!;
  const offset = smbase & 0xfff ? -1 : machine.memory.locate(0, (smbase + AREA) >>> 0);
  if (offset < 0) {
    throw new NotModelled(
      machine.cpu.regs.u64[Reg.RIP]!,
      `SMBASE is 0x${smbase.toString(16)}, where there is no SMRAM; SMRAM elsewhere is not modelled`,
    );
  }
  return offset;
}

/** Writes the state save area; bytes between its fields become 0. */
function saveState(machine: Machine, events: number): void {
  const { u32, memory } = machine;
  const map = mapOf(machine.profile);
  const from = areaOffset(machine) >>> 2;
  scratch.fill(0);
  for (const { at, register, bytes, half } of map.fields) {
    if (bytes === 2) scratchView.setUint16(at, u32[2 * register]!, true);
    else scratchView.setUint32(at, u32[2 * register + half]!, true);
    if (bytes === 8) scratchView.setUint32(at + 4, u32[2 * register + 1]!, true);
  }
  scratchView.setUint32(map.revision, SMBASE_RELOCATION | map.level, true);
  scratchView.setUint8(map.autoHalt, events & EventState.HALTED ? 1 : 0);
  scratchView.setUint32(map.hidden, events & HIDDEN_EVENTS, true);
  for (const word of map.words) {
    memory.willWrite((from >>> 1) + word);
    memory.u32[from + 2 * word] = scratch[2 * word]!;
    memory.u32[from + 2 * word + 1] = scratch[2 * word + 1]!;
  }
}

/** The state save area as it is now. */
function loadState(machine: Machine): DataView {
  const { memory, cpu } = machine;
  const from = areaOffset(machine) >>> 2;
  for (const word of mapOf(machine.profile).words) {
    cpu.noteRead((from >>> 1) + word);
    scratch[2 * word] = memory.u32[from + 2 * word]!;
    scratch[2 * word + 1] = memory.u32[from + 2 * word + 1]!;
  }
  return scratchView;
}
