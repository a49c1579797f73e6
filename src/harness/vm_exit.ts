/**
 * VM exits (SDM vol. 3, chapters 25 and 27): which events cause them, what they save of the guest, and the host's state that
 * they load. The host goes on at its RIP with RFLAGS 2, and without shadows.
 *
 * An exit that an NMI causes leaves NMIs blocked, no other one does (27.5.5). Since virtual NMIs let a guest run with NMIs
 * not blocked (26.6.1), they are not blocked after any other exit from such a guest either, whatever the host had before.
 *
 * The machine keeps no hidden parts of segment registers but bases: limits and access rights are saved as those of flat segments.
 */
import { Vector } from '../cpu/cpu.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Flag, Reg } from '../cpu/registers.js';
import { Origin } from './delivery.js';
import { EventState, PENDING_DEBUG, PENDING_DEBUG_SHIFT, SHADOWS } from './event_state.js';
import { EventType, eventType } from './fred.js';
import type { Machine } from './machine.js';
import { switchMsrsAtExit } from './vm_msr_lists.js';
import { type FieldName, readField, readField32, writeField } from './vmcs.js';
import { Activity, ENTRY_FAILURE, ExitControl, ExitReason, Interruptibility, Interruption, inGuest } from './vmx.js';

/** Stands for an asynchronous VM exit where an event is named by its vector: the guest does not learn of it. */
export const VM_EXIT_VECTOR = 0x203;

/** An event as the VMCS describes it. */
export interface EventInformation {
  readonly vector: number;
  /** A value of EventType. */
  readonly type: number;
  readonly code: number | undefined;
  /** Bytes of the instruction that has raised it, for software interrupts and software exceptions; else 0. */
  readonly length: number;
}

export interface VmExit {
  /** A basic exit reason. */
  readonly reason: number;
  readonly qualification?: bigint;
  /** The event that has caused the exit. */
  readonly event?: EventInformation;
  /** The event during whose delivery it happened. */
  readonly original?: EventInformation;
  /** Bytes of the instruction that has caused it. */
  readonly length?: number;
  /** RFLAGS to save; those of the guest if not given. */
  readonly rflags?: number;
  /** Caused between two instructions: the guest goes on there as if nothing had happened. */
  readonly asynchronous?: true;
}

const EVENTS = 2 * Reg.EVENTS;
const DR7_CLEARED = 0x400n;
const RFLAGS_CLEARED = 2n;
const HOST_TABLE_LIMIT = 0xffffn;
const HOST_TSS_LIMIT = 0x67n;
const BRANCH_TRAP_FLAG = 1 << 1;

/** Bits of the pending debug exceptions field (table 24-4). */
export const PendingDebug = { B0_TO_B3: 0xf, ENABLED_BREAKPOINT: 1 << 12, BS: 1 << 14, DEFINED: 0x500f } as const;

/** What belongs to the guest alone. */
const GUEST_EVENTS =
  SHADOWS |
  PENDING_DEBUG |
  EventState.HALTED |
  EventState.COMPATIBILITY |
  EventState.VMX_NON_ROOT |
  EventState.VIRTUAL_NMI_BLOCKED |
  EventState.INTERRUPT_EXITING |
  EventState.NMI_EXITING |
  EventState.VIRTUAL_NMIS |
  EventState.WINDOW_EXITING;

/** Access rights of what guests have (table 24-2): usable segments are flat. */
const Rights = { CODE: 0xa09b, DATA: 0xc093, TSS: 0x8b, LDT: 0x82, UNUSABLE: 0x10000, DPL_SHIFT: 5 } as const;

/** Fields that hold a register as it is, of the guest and of the host. */
const GUEST_REGISTERS: readonly (readonly [FieldName, number])[] = [
  ['GUEST_CR0', Reg.CR0],
  ['GUEST_CR3', Reg.CR3],
  ['GUEST_CR4', Reg.CR4],
  ['GUEST_RSP', Reg.RSP],
  ['GUEST_RIP', Reg.RIP],
  ['GUEST_RFLAGS', Reg.RFLAGS],
  ['GUEST_ES_SELECTOR', Reg.ES],
  ['GUEST_CS_SELECTOR', Reg.CS],
  ['GUEST_SS_SELECTOR', Reg.SS],
  ['GUEST_DS_SELECTOR', Reg.DS],
  ['GUEST_FS_SELECTOR', Reg.FS],
  ['GUEST_GS_SELECTOR', Reg.GS],
  ['GUEST_LDTR_SELECTOR', Reg.LDTR],
  ['GUEST_TR_SELECTOR', Reg.TR],
  ['GUEST_FS_BASE', Reg.FS_BASE],
  ['GUEST_GS_BASE', Reg.GS_BASE],
  ['GUEST_LDTR_BASE', Reg.LDTR_BASE],
  ['GUEST_TR_BASE', Reg.TR_BASE],
  ['GUEST_GDTR_BASE', Reg.GDTR_BASE],
  ['GUEST_IDTR_BASE', Reg.IDTR_BASE],
  ['GUEST_LDTR_LIMIT', Reg.LDTR_LIMIT],
  ['GUEST_TR_LIMIT', Reg.TR_LIMIT],
  ['GUEST_GDTR_LIMIT', Reg.GDTR_LIMIT],
  ['GUEST_IDTR_LIMIT', Reg.IDTR_LIMIT],
  ['GUEST_SYSENTER_CS', Reg.SYSENTER_CS],
  ['GUEST_SYSENTER_ESP', Reg.SYSENTER_ESP],
  ['GUEST_SYSENTER_EIP', Reg.SYSENTER_EIP],
];

const DEBUG_REGISTERS: readonly (readonly [FieldName, number])[] = [
  ['GUEST_DR7', Reg.DR7],
  ['GUEST_DEBUGCTL', Reg.DEBUGCTL],
];

const HOST_REGISTERS: readonly (readonly [FieldName, number])[] = [
  ['HOST_CR0', Reg.CR0],
  ['HOST_CR3', Reg.CR3],
  ['HOST_CR4', Reg.CR4],
  ['HOST_RSP', Reg.RSP],
  ['HOST_RIP', Reg.RIP],
  ['HOST_ES_SELECTOR', Reg.ES],
  ['HOST_CS_SELECTOR', Reg.CS],
  ['HOST_SS_SELECTOR', Reg.SS],
  ['HOST_DS_SELECTOR', Reg.DS],
  ['HOST_FS_SELECTOR', Reg.FS],
  ['HOST_GS_SELECTOR', Reg.GS],
  ['HOST_TR_SELECTOR', Reg.TR],
  ['HOST_FS_BASE', Reg.FS_BASE],
  ['HOST_GS_BASE', Reg.GS_BASE],
  ['HOST_TR_BASE', Reg.TR_BASE],
  ['HOST_GDTR_BASE', Reg.GDTR_BASE],
  ['HOST_IDTR_BASE', Reg.IDTR_BASE],
  ['HOST_SYSENTER_CS', Reg.SYSENTER_CS],
  ['HOST_SYSENTER_ESP', Reg.SYSENTER_ESP],
  ['HOST_SYSENTER_EIP', Reg.SYSENTER_EIP],
];

/** Loads the guest's registers from the VMCS, as VM entries do; what they do to EVENTS is not among it. */
export function loadGuestRegisters(machine: Machine, withDebug: boolean, withEfer: boolean): void {
  const { u64 } = machine.cpu.regs;
  for (const [field, register] of GUEST_REGISTERS) u64[register] = readField(machine, field);
  if (withDebug) for (const [field, register] of DEBUG_REGISTERS) u64[register] = readField(machine, field);
  if (withEfer) u64[Reg.EFER] = readField(machine, 'GUEST_EFER');
}

/** The guest's state is saved, and the host goes on. */
export function vmExit(machine: Machine, exit: VmExit): void {
  const { u32, happened } = machine;
  machine.leaveInstruction();
  if (exit.asynchronous) machine.registersBefore.set(u32);
  const controls = readField32(machine, 'EXIT_CONTROLS');
  const events = u32[EVENTS]!;
  saveGuest(machine, exit, controls, events);
  switchMsrsAtExit(machine, false);
  writeField(machine, 'EXIT_REASON', BigInt(exit.reason));
  writeField(machine, 'EXIT_QUALIFICATION', exit.qualification ?? 0n);
  const unblocked = exit.event && happened.nmiUnblocked && !exit.original ? Interruption.NMI_UNBLOCKED : 0;
  writeEvent(machine, 'EXIT_INTERRUPTION_INFORMATION', 'EXIT_INTERRUPTION_ERROR_CODE', exit.event, unblocked);
  writeEvent(machine, 'IDT_VECTORING_INFORMATION', 'IDT_VECTORING_ERROR_CODE', exit.original, 0);
  const length = exit.length ?? exit.event?.length ?? 0;
  writeField(machine, 'EXIT_INSTRUCTION_LENGTH', BigInt(length || exit.original?.length || 0));
  // An event is injected once.
  const injected = readField(machine, 'ENTRY_INTERRUPTION_INFORMATION');
  writeField(machine, 'ENTRY_INTERRUPTION_INFORMATION', BigInt.asUintN(31, injected));
  loadHost(machine, controls);
  const nmi = exit.event?.type === EventType.NMI;
  u32[EVENTS] = (events & ~GUEST_EVENTS) | (nmi ? EventState.NMI_BLOCKED : 0);
  happened.vmExit = exit.reason;
  if (exit.asynchronous) {
    happened.delivered = true;
    happened.vector = VM_EXIT_VECTOR;
    happened.requestedVector = VM_EXIT_VECTOR;
    happened.origin = Origin.EXTERNAL;
    happened.ist = 0;
    happened.stackTopLow = u32[2 * Reg.RSP]!;
    happened.stackTopHigh = u32[2 * Reg.RSP + 1]!;
  }
}

/** A VM entry has failed for this reason: the host goes on as after an exit, and no guest state is saved (26.7). */
export function failEntry(machine: Machine, reason: number, qualification: bigint): void {
  machine.leaveInstruction();
  writeField(machine, 'EXIT_REASON', BigInt(ENTRY_FAILURE + reason));
  writeField(machine, 'EXIT_QUALIFICATION', qualification);
  loadHost(machine, readField32(machine, 'EXIT_CONTROLS'));
  machine.u32[EVENTS]! &= ~GUEST_EVENTS;
  machine.happened.vmExit = reason;
}

function saveGuest(machine: Machine, exit: VmExit, controls: number, events: number): void {
  const { u32 } = machine;
  const { u64 } = machine.cpu.regs;
  for (const [field, register] of GUEST_REGISTERS) writeField(machine, field, u64[register]!);
  writeField(machine, 'GUEST_RFLAGS', BigInt((exit.rflags ?? u32[2 * Reg.RFLAGS]!) >>> 0));
  if (controls & ExitControl.SAVE_DEBUG) {
    for (const [field, register] of DEBUG_REGISTERS) writeField(machine, field, u64[register]!);
  }
  if (controls & ExitControl.SAVE_EFER) writeField(machine, 'GUEST_EFER', u64[Reg.EFER]!);
  saveSegments(machine);
  const blocked = events & guestNmiBlocking(events);
  writeField(
    machine,
    'GUEST_INTERRUPTIBILITY',
    BigInt(
      (events & EventState.STI_SHADOW ? Interruptibility.STI : 0) |
        (events & EventState.MOV_SS_SHADOW ? Interruptibility.MOV_SS : 0) |
        (blocked ? Interruptibility.NMI : 0),
    ),
  );
  writeField(machine, 'GUEST_ACTIVITY', BigInt(events & EventState.HALTED ? Activity.HLT : Activity.ACTIVE));
  const breakpoints = (events >>> PENDING_DEBUG_SHIFT) & PendingDebug.B0_TO_B3;
  // After a MOV SS the single step is still to come.
  const stepping =
    (u32[2 * Reg.RFLAGS]! & Flag.TF) !== 0 &&
    !(u32[2 * Reg.DEBUGCTL]! & BRANCH_TRAP_FLAG) &&
    (events & EventState.MOV_SS_SHADOW) !== 0;
  const pending =
    breakpoints |
    (breakpoints ? PendingDebug.ENABLED_BREAKPOINT : 0) |
    (stepping || events & EventState.PENDING_BS ? PendingDebug.BS : 0);
  writeField(machine, 'GUEST_PENDING_DEBUG', BigInt(pending));
}

/** The bit of EVENTS that the guest's "blocking by NMI" is about. */
function guestNmiBlocking(events: number): number {
  return events & EventState.VIRTUAL_NMIS ? EventState.VIRTUAL_NMI_BLOCKED : EventState.NMI_BLOCKED;
}

function saveSegments(machine: Machine): void {
  const { u32 } = machine;
  const dpl = machine.cpu.cpl << Rights.DPL_SHIFT;
  const names = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const;
  for (const name of names) {
    const selector = u32[2 * Reg[name]]!;
    const usable = (selector & 0xfffc) !== 0;
    const level = name === 'CS' || name === 'SS' ? dpl : 3 << Rights.DPL_SHIFT;
    const rights = name === 'CS' ? Rights.CODE : Rights.DATA;
    writeField(machine, `GUEST_${name}_ACCESS_RIGHTS`, BigInt(usable ? rights | level : Rights.UNUSABLE | level));
    writeField(machine, `GUEST_${name}_LIMIT`, 0xffffffffn);
  }
  for (const name of ['ES', 'CS', 'SS', 'DS'] as const) writeField(machine, `GUEST_${name}_BASE`, 0n);
  writeField(machine, 'GUEST_TR_ACCESS_RIGHTS', BigInt(Rights.TSS));
  const local = u32[2 * Reg.LDTR]! & 0xfffc ? Rights.LDT : Rights.UNUSABLE;
  writeField(machine, 'GUEST_LDTR_ACCESS_RIGHTS', BigInt(local));
}

function writeEvent(
  machine: Machine,
  field: FieldName,
  codeField: FieldName,
  event: EventInformation | undefined,
  more: number,
): void {
  if (!event) {
    writeField(machine, field, 0n);
    return;
  }
  const code = event.code === undefined ? 0 : Interruption.ERROR_CODE;
  const information = Interruption.VALID | (event.type << Interruption.TYPE_SHIFT) | event.vector | code | more;
  writeField(machine, field, BigInt(information >>> 0));
  if (event.code !== undefined) writeField(machine, codeField, BigInt(event.code));
}

function loadHost(machine: Machine, controls: number): void {
  const { u64 } = machine.cpu.regs;
  machine.rareChange(Reg.TR);
  for (const [field, register] of HOST_REGISTERS) u64[register] = readField(machine, field);
  if (controls & ExitControl.LOAD_EFER) u64[Reg.EFER] = readField(machine, 'HOST_EFER');
  u64[Reg.RFLAGS] = RFLAGS_CLEARED;
  u64[Reg.DR7] = DR7_CLEARED;
  for (const register of [Reg.DEBUGCTL, Reg.LDTR, Reg.LDTR_BASE, Reg.LDTR_LIMIT]) u64[register] = 0n;
  u64[Reg.GDTR_LIMIT] = HOST_TABLE_LIMIT;
  u64[Reg.IDTR_LIMIT] = HOST_TABLE_LIMIT;
  u64[Reg.TR_LIMIT] = HOST_TSS_LIMIT;
  switchMsrsAtExit(machine, true);
  machine.changed();
}

// What causes exits -----------------------------------------------------------------------------------------------------

/** An instruction of the guest's causes an exit. */
export function exitByInstruction(machine: Machine, reason: number, length: number, qualification = 0n): void {
  vmExit(machine, { reason, length, qualification });
}

/** An NMI arrives in a guest whose host has asked for it. The pending one is consumed, and its successors must wait. */
export function exitByNmi(machine: Machine): void {
  machine.u32[EVENTS]! &= ~EventState.NMI_PENDING;
  const event = { vector: Vector.NMI, type: EventType.NMI, code: undefined, length: 0 };
  vmExit(machine, { reason: ExitReason.EXCEPTION_OR_NMI, event, asynchronous: true });
}

/** An external interrupt arrives: the host finds its vector in the VMCS if it has asked for that, or else at its own APIC. */
export function exitByInterrupt(machine: Machine): void {
  const acknowledges = readField32(machine, 'EXIT_CONTROLS') & ExitControl.ACKNOWLEDGE_INTERRUPT;
  const event = acknowledges
    ? { vector: machine.apic!.acknowledge(), type: EventType.INTERRUPT, code: undefined, length: 0 }
    : undefined;
  vmExit(machine, { reason: ExitReason.EXTERNAL_INTERRUPT, ...(event ? { event } : {}), asynchronous: true });
}

/** The window that the host waits for is open. */
export function exitByWindow(machine: Machine, reason: number): void {
  vmExit(machine, { reason, asynchronous: true });
}

/** INIT in VMX operation: a guest exits. In root operation it would wait, which is not modelled. */
export function takeInitInVmx(machine: Machine): void {
  if (!inGuest(machine)) {
    throw new NotModelled(machine.cpu.regs.u64[Reg.RIP]!, 'is interrupted by an INIT in VMX root operation');
  }
  machine.u32[EVENTS]! &= ~EventState.INIT_PENDING;
  vmExit(machine, { reason: ExitReason.INIT });
}

/** How the VMCS describes an event with these arguments of `deliver`. */
export function describe(
  machine: Machine,
  vector: number,
  origin: number,
  code: number | undefined,
  length: number,
): EventInformation {
  return { vector, type: eventType(machine, vector, origin, length), code, length };
}

/**
 * Whether the exception bitmap has the guest leave because of an event that would be delivered: then it has left. INT n
 * and interrupts are no exceptions; INT3 is one. `rflags` are those to save, `data` is what a #DB would report; `original`:
 * the event whose delivery has raised this one.
 */
export function exceptionExits(
  machine: Machine,
  event: EventInformation,
  rflags: number,
  data: number,
  original?: EventInformation,
): boolean {
  const { vector, type, code } = event;
  if (type === EventType.INTERRUPT || type === EventType.NMI || type === EventType.SOFTWARE_INTERRUPT) return false;
  if (!intercepted(machine, vector, code ?? 0)) return false;
  const { cpu } = machine;
  let { length } = event;
  if (type === EventType.SOFTWARE_EXCEPTION && length === 0) {
    // An event that is fired as if an INT3 had just executed: RIP is that of the INT3.
    cpu.regs.u64[Reg.RIP] = BigInt.asUintN(64, cpu.regs.u64[Reg.RIP]! - 1n);
    length = 1;
  }
  const address = (BigInt(cpu.faultHigh >>> 0) << 32n) | BigInt(cpu.faultLow >>> 0);
  const qualification = vector === Vector.PF ? address : vector === Vector.DB ? BigInt(data) : 0n;
  vmExit(machine, {
    ...{ reason: ExitReason.EXCEPTION_OR_NMI, event, qualification, rflags },
    ...(length ? { length } : {}),
    ...(original ? { original } : {}),
  });
  return true;
}

function intercepted(machine: Machine, vector: number, code: number): boolean {
  const selected = (readField32(machine, 'EXCEPTION_BITMAP') & (1 << vector)) !== 0;
  if (vector !== Vector.PF) return selected;
  const matches = (code & readField32(machine, 'PAGE_FAULT_MASK')) === readField32(machine, 'PAGE_FAULT_MATCH');
  return selected === matches;
}

/** The guest would shut the processor down. */
export function exitByTripleFault(machine: Machine): void {
  vmExit(machine, { reason: ExitReason.TRIPLE_FAULT });
}
