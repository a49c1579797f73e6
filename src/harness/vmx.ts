/**
 * VMX operation (SDM vol. 3, chapters 23 and 24), as far as the injection of events needs it: the controls that the machine has, and
 * what a guest does with events from outside. A guest is 64-bit code that runs in the same memory as the host: there is no
 * EPT, and CR3 selects among the same address spaces. See vmcs.ts, vm_entry.ts, vm_exit.ts.
 *
 * The controls that are looked at between instructions are copied into Reg.EVENTS by VM entries, as processors keep them
 * on the chip: software can change them only while no guest runs.
 */
import { Flag, Reg } from '../cpu/registers.js';
import { EventState, SHADOWS } from './event_state.js';
import type { Machine } from './machine.js';
import { readField32 } from './vmcs.js';

/** Pin-based VM-execution controls (24.6.1). */
export const PinBased = { EXTERNAL_INTERRUPT_EXITING: 1 << 0, NMI_EXITING: 1 << 3, VIRTUAL_NMIS: 1 << 5 } as const;

/** Primary processor-based VM-execution controls (24.6.2). */
export const ProcessorBased = {
  INTERRUPT_WINDOW_EXITING: 1 << 2,
  HLT_EXITING: 1 << 7,
  CR3_LOAD_EXITING: 1 << 15,
  CR3_STORE_EXITING: 1 << 16,
  NMI_WINDOW_EXITING: 1 << 22,
  USE_MSR_BITMAPS: 1 << 28,
} as const;

/** VM-exit controls (24.7.1). */
export const ExitControl = {
  SAVE_DEBUG: 1 << 2,
  HOST_64_BIT: 1 << 9,
  ACKNOWLEDGE_INTERRUPT: 1 << 15,
  SAVE_EFER: 1 << 20,
  LOAD_EFER: 1 << 21,
} as const;

/** VM-entry controls (24.8.1). */
export const EntryControl = { LOAD_DEBUG: 1 << 2, GUEST_IA32E: 1 << 9, LOAD_EFER: 1 << 15 } as const;

/** Interruptibility state (table 24-3). */
export const Interruptibility = { STI: 1 << 0, MOV_SS: 1 << 1, SMI: 1 << 2, NMI: 1 << 3, DEFINED: 0xf } as const;

/** Activity state (24.4.2). The machine has the first two; a guest cannot be entered in the others. */
export const Activity = { ACTIVE: 0, HLT: 1 } as const;

/** VM-entry interruption information, and with it the formats of exits and of IDT-vectoring information (table 24-13). */
export const Interruption = {
  TYPE_SHIFT: 8,
  ERROR_CODE: 1 << 11,
  NMI_UNBLOCKED: 1 << 12,
  RESERVED: 0x7ffff000,
  VALID: 1 << 31,
} as const;

/** Basic exit reasons (appendix C). */
export const ExitReason = {
  EXCEPTION_OR_NMI: 0,
  EXTERNAL_INTERRUPT: 1,
  TRIPLE_FAULT: 2,
  INIT: 3,
  INTERRUPT_WINDOW: 7,
  NMI_WINDOW: 8,
  CPUID: 10,
  HLT: 12,
  INVD: 13,
  VMCALL: 18,
  VMCLEAR: 19,
  VMLAUNCH: 20,
  VMPTRLD: 21,
  VMPTRST: 22,
  VMREAD: 23,
  VMRESUME: 24,
  VMWRITE: 25,
  VMXOFF: 26,
  VMXON: 27,
  CR_ACCESS: 28,
  RDMSR: 31,
  WRMSR: 32,
  INVALID_GUEST_STATE: 33,
  MSR_LOADING: 34,
  INVEPT: 50,
  INVVPID: 53,
} as const;

/** A basic exit reason in words: "external interrupt". */
export function exitName(reason: number): string {
  const name = Object.entries(ExitReason).find(([, number]) => number === reason)?.[0] ?? `reason ${reason}`;
  return name.includes('_') ? name.replaceAll('_', ' ').toLowerCase().replace('nmi', 'NMI') : name;
}

/** Bit 31 of the exit reason: the VM entry failed. */
export const ENTRY_FAILURE = 0x80000000;

/** For one kind of controls: the bits that must be 1 and those that may be 1. */
export interface Allowed {
  readonly ones: number;
  readonly may: number;
}

/** What IA32_VMX_TRUE_*_CTLS report (appendix A.3 to A.5). */
export const ALLOWED = {
  pin: allowed(0x16, PinBased),
  processor: allowed(0x04006172, ProcessorBased),
  exit: allowed(0x00036dfb, ExitControl),
  entry: allowed(0x000011fb, EntryControl),
} as const;

function allowed(ones: number, controls: Readonly<Record<string, number>>): Allowed {
  return { ones, may: Object.values(controls).reduce((all, bit) => all | bit, ones) >>> 0 };
}

/** Bits that CR0 and CR4 must have in VMX operation: PE, NE, PG; VMXE. */
export const FIXED = { CR0: 0x80000021, CR4: 0x2000 } as const;

const EVENTS = 2 * Reg.EVENTS;
const OPERATION = EventState.VMX_ROOT | EventState.VMX_NON_ROOT;

/** Whether the processor is in VMX operation. */
export function inVmxOperation(machine: Machine): boolean {
  return (machine.u32[EVENTS]! & EventState.VMX_ROOT) !== 0;
}

/** Whether a guest runs. */
export function inGuest(machine: Machine): boolean {
  return (machine.u32[EVENTS]! & EventState.VMX_NON_ROOT) !== 0;
}

/** Whether NMIs cause VM exits, for a processor with these EVENTS bits. */
export function nmiExits(events: number): boolean {
  return (events & EventState.VMX_NON_ROOT) !== 0 && (events & EventState.NMI_EXITING) !== 0;
}

/** Whether external interrupts cause VM exits: they do so whatever RFLAGS.IF is. */
export function interruptExits(events: number): boolean {
  return (events & EventState.VMX_NON_ROOT) !== 0 && (events & EventState.INTERRUPT_EXITING) !== 0;
}

/**
 * The exit reason of the window that is open at the boundary at which a processor with these EVENTS bits stands, of those that
 * its host waits for; -1 if none is. It wakes a guest that is halted (25.2).
 */
export function openWindow(machine: Machine, events: number, processor = machine.processors.running): number {
  if (!(events & EventState.VMX_NON_ROOT) || !(events & EventState.WINDOW_EXITING)) return -1;
  const controls = readField32(machine, 'PROCESSOR_BASED_CONTROLS', processor);
  const shadows = EventState.MOV_SS_SHADOW | (machine.profile.stiShadowBlocksNmi ? EventState.STI_SHADOW : 0);
  if (controls & ProcessorBased.NMI_WINDOW_EXITING && !(events & (shadows | EventState.VIRTUAL_NMI_BLOCKED)))
    return ExitReason.NMI_WINDOW;
  const interruptible =
    (machine.u32[machine.processors.place(processor, Reg.RFLAGS)]! & Flag.IF) !== 0 && !(events & SHADOWS);
  return controls & ProcessorBased.INTERRUPT_WINDOW_EXITING && interruptible ? ExitReason.INTERRUPT_WINDOW : -1;
}

/**
 * The bits of EVENTS that an IRET clears: the NMI latch; in a guest, virtual-NMI blocking, or nothing where NMIs cause
 * exits and there are no virtual ones (25.3 "IRET", 26.6.1).
 */
export function unblockedByIret(events: number): number {
  if ((events & OPERATION) !== OPERATION || !(events & EventState.NMI_EXITING)) return EventState.NMI_BLOCKED;
  return events & EventState.VIRTUAL_NMIS ? EventState.VIRTUAL_NMI_BLOCKED : 0;
}
