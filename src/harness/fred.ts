/**
 * FRED event delivery (SDM vol. 3, chapter 8 "Flexible Return and Event Delivery (FRED)"; Intel document 346446): with CR4.FRED
 * set, no event goes through the IDT. Delivery reads no table. It comes to one of two entry points, on the stack of the event's
 * level, with a frame of 64 bytes:
 *
 *   +56  0
 *   +48  event data: the address with #PF, what a #DB reports
 *   +40  SS in bits 15:0; 16 blocking by STI, 17 INT n or system call, 18 NMI; 39:32 vector, 51:48 type, 57 64-bit mode,
 *        58 nested exception, 63:60 length of the instruction
 *   +32  RSP
 *   +24  RFLAGS
 *   +16  CS in bits 15:0; 17:16 stack level
 *   +8   RIP
 *   +0   error code, 0 if the event has none
 *
 * RFLAGS becomes 2; CS and SS change only with events from ring 3, then the GS bases are exchanged too. CR2 and DR6 are
 * written as with an IDT.
 *
 * Chapter 8 itself was not at hand; the instruction pages of SDM vol. 2, Linux, Xen and KVM were. Not settled by them:
 * - which exceptions in a row become #DF is taken from delivery through the IDT (delivery.ts);
 * - an INT n or a system call is the instruction that blocking by STI or MOV SS lasts for: its frame does not say "blocking
 *   by STI", and a #DB that MOV SS has deferred comes at the first instruction of the handler;
 * - MSRs and frames have no NMI sources, and shadow stacks are not modelled.
 */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../cpu/cpu.js';
import { Flag, Reg } from '../cpu/registers.js';
import { Origin, savedFlags } from './delivery.js';
import { Segment } from './descriptors.js';
import { EventState, SHADOWS } from './event_state.js';
import type { Machine } from './machine.js';

/** CR4 bit 32, in the upper half. */
const CR4_FRED_HIGH = 1 << 0;

/** IA32_FRED_CONFIG: the current stack level, how far RSP is moved when the level stays, the level of maskable interrupts. */
export const FredConfig = {
  LEVEL: 3,
  DECREMENT: 7 << 6,
  INTERRUPT_LEVEL_SHIFT: 9,
  PAGE: ~0xfff,
} as const;

/** Where the entry point for events from ring 0 lies in the page. */
const RING_0_ENTRY = 256;

const FRAME_ALIGNMENT = 64;

/** Offsets in the frame, from RSP at the first instruction of the handler. */
export const FredFrame = { RIP: 8, CS: 16, RFLAGS: 24, RSP: 32, SS: 40, EVENT_DATA: 48, SIZE: 64 } as const;

/** The saved CS word. */
export const SavedCs = { LEVEL_SHIFT: 16 } as const;

/** The saved SS word: bits of its lower half, and of its upper half. */
export const SavedSs = { STI: 1 << 16, SOFTWARE: 1 << 17, NMI: 1 << 18 } as const;
export const SavedSsHigh = { TYPE_SHIFT: 16, LONG: 1 << 25, NESTED: 1 << 26, LENGTH_SHIFT: 28 } as const;

export const EventType = {
  INTERRUPT: 0,
  NMI: 2,
  HARDWARE_EXCEPTION: 3,
  SOFTWARE_INTERRUPT: 4,
  PRIVILEGED_SOFTWARE_EXCEPTION: 5,
  SOFTWARE_EXCEPTION: 6,
  OTHER: 7,
} as const;

/** Stand for the system calls where an event is named by its vector; the lower 8 bits are the vector in the frame. */
export const FRED_SYSCALL = 0x201;
export const FRED_SYSENTER = 0x202;

/** Whether events are delivered by FRED. */
export function fredEnabled(machine: Machine): boolean {
  return (machine.u32[2 * Reg.CR4 + 1]! & CR4_FRED_HIGH) !== 0;
}

/**
 * With FRED, IRET and far transfers neither change the privilege level nor enter compatibility mode in ring 0: #GP(selector)
 * for a code segment that would, with the upper half `code` of its descriptor.
 */
export function checkFredTransfer(machine: Machine, selector: number, newCpl: number, code: number): boolean {
  const { cpu } = machine;
  const { cpl } = cpu;
  if (!fredEnabled(machine) || (newCpl === cpl && (cpl !== 0 || code & Segment.LONG))) return true;
  return cpu.raiseWith(Vector.GP, selector & 0xfffc);
}

/** INT3, INT n and INT1 have executed, or a system call; `length`: 0 if an event is fired as if one had. */
export function eventType(machine: Machine, vector: number, origin: number, length: number): number {
  switch (origin) {
    case Origin.EXTERNAL:
      return vector === Vector.NMI ? EventType.NMI : EventType.HARDWARE_EXCEPTION;
    case Origin.INTERRUPT:
      return EventType.INTERRUPT;
    case Origin.SOFTWARE: {
      const { instruction } = machine.happened;
      const int3 = instruction ? instruction.mnemonic === Mnemonic.Int3 : vector === Vector.BP;
      return int3 ? EventType.SOFTWARE_EXCEPTION : EventType.SOFTWARE_INTERRUPT;
    }
    case Origin.SYSTEM_CALL:
      return EventType.OTHER;
    default:
      return length !== 0 ? EventType.PRIVILEGED_SOFTWARE_EXCEPTION : EventType.HARDWARE_EXCEPTION;
  }
}

/** The stack level that is configured for an event: bits 2v+1:2v of IA32_FRED_STKLVLS for exceptions and NMIs. */
function configuredLevel(machine: Machine, vector: number, type: number): number {
  const { u32 } = machine;
  if (type === EventType.INTERRUPT) return (u32[2 * Reg.FRED_CONFIG]! >>> FredConfig.INTERRUPT_LEVEL_SHIFT) & 3;
  if (type === EventType.SOFTWARE_INTERRUPT || type === EventType.OTHER) return 0;
  return (u32[2 * Reg.FRED_STKLVLS + (vector >>> 4)]! >>> (2 * (vector & 15))) & 3;
}

/** Exchanges the GS base with IA32_KERNEL_GS_BASE. */
export function exchangeGsBases(machine: Machine): void {
  const { u64 } = machine.cpu.regs;
  const base = u64[Reg.GS_BASE]!;
  u64[Reg.GS_BASE] = u64[Reg.KERNEL_GS_BASE]!;
  u64[Reg.KERNEL_GS_BASE] = base;
}

/** Makes `level` the current stack level. */
export function setStackLevel(machine: Machine, level: number): void {
  const config = machine.u32[2 * Reg.FRED_CONFIG]!;
  if ((config & FredConfig.LEVEL) === level) return;
  machine.rareChange(Reg.FRED_CONFIG);
  machine.u32[2 * Reg.FRED_CONFIG] = ((config & ~FredConfig.LEVEL) | level) >>> 0;
}

/**
 * Tries to deliver an event; false when that faults. `length` is that of an instruction that has raised the event by
 * completing, `data` the event data of a #DB; `nested`: it is an exception that the delivery of another event has raised.
 */
export function attemptFred(
  machine: Machine,
  vector: number,
  origin: number,
  code: number | undefined,
  length: number,
  data: number,
  nested: boolean,
): boolean {
  const { cpu, u32 } = machine;
  const { cpl } = cpu;
  const user = cpl === 3;
  const type = eventType(machine, vector, origin, length);
  const config = u32[2 * Reg.FRED_CONFIG]!;

  // Ring 3 has no level. What it raises comes to level 0, unless the delivery itself is what has failed.
  const level = user ? 0 : config & FredConfig.LEVEL;
  const configured = user && !nested && vector !== Vector.DF ? 0 : configuredLevel(machine, vector, type);
  const newLevel = Math.max(level, configured);
  if (user || newLevel > level) {
    machine.pushLow = u32[2 * (Reg.FRED_RSP0 + newLevel)]!;
    machine.pushHigh = u32[2 * (Reg.FRED_RSP0 + newLevel) + 1]!;
  } else {
    const low = u32[2 * Reg.RSP]! - (config & FredConfig.DECREMENT);
    machine.pushHigh = low < 0 ? (u32[2 * Reg.RSP + 1]! - 1) >>> 0 : u32[2 * Reg.RSP + 1]!;
    machine.pushLow = (low & -FRAME_ALIGNMENT) >>> 0;
  }
  const topLow = machine.pushLow;
  const topHigh = machine.pushHigh;

  const events = u32[2 * Reg.EVENTS]!;
  const software = type === EventType.SOFTWARE_INTERRUPT || type === EventType.OTHER;
  const completed = type >= EventType.SOFTWARE_INTERRUPT;
  const marks =
    (events & EventState.STI_SHADOW && !completed ? SavedSs.STI : 0) |
    (software ? SavedSs.SOFTWARE : 0) |
    (type === EventType.NMI ? SavedSs.NMI : 0);
  // An event that is fired as if INT3 or INT n had executed has the length of the shortest one.
  const instruction = completed ? length || (software ? 2 : 1) : 0;
  const information =
    (vector & 0xff) |
    (type << SavedSsHigh.TYPE_SHIFT) |
    (events & EventState.COMPATIBILITY ? 0 : SavedSsHigh.LONG) |
    (nested && vector !== Vector.DF ? SavedSsHigh.NESTED : 0) |
    (instruction << SavedSsHigh.LENGTH_SHIFT);
  const pageFault = origin === Origin.EXCEPTION && vector === Vector.PF;
  if (!machine.push(0, 0)) return false;
  if (!machine.push(pageFault ? u32[2 * Reg.CR2]! : data, pageFault ? u32[2 * Reg.CR2 + 1]! : 0)) return false;
  if (!machine.push((u32[2 * Reg.SS]! | marks) >>> 0, information >>> 0)) return false;
  if (!machine.push(u32[2 * Reg.RSP]!, u32[2 * Reg.RSP + 1]!)) return false;
  if (!machine.push(savedFlags(machine, vector, origin), 0)) return false;
  if (!machine.push(u32[2 * Reg.CS]! | (level << SavedCs.LEVEL_SHIFT), 0)) return false;
  if (!machine.push(machine.registersBefore[2 * Reg.RIP]!, machine.registersBefore[2 * Reg.RIP + 1]!)) return false;
  if (!machine.push(code ?? 0, 0)) return false;

  machine.happened.ist = newLevel > level ? newLevel : 0;
  machine.happened.stackTopLow = topLow;
  machine.happened.stackTopHigh = topHigh;
  if (user) {
    const selector = u32[2 * Reg.STAR + 1]! & 0xfffc;
    u32[2 * Reg.CS] = selector;
    u32[2 * Reg.SS] = selector + 8;
    exchangeGsBases(machine);
  }
  u32[2 * Reg.RSP] = machine.pushLow;
  u32[2 * Reg.RSP + 1] = machine.pushHigh;
  u32[2 * Reg.RIP] = ((config & FredConfig.PAGE) | (user ? 0 : RING_0_ENTRY)) >>> 0;
  u32[2 * Reg.RIP + 1] = u32[2 * Reg.FRED_CONFIG + 1]!;
  u32[2 * Reg.RFLAGS] = Flag.ONE;
  setStackLevel(machine, newLevel);
  u32[2 * Reg.EVENTS]! &= ~(SHADOWS | EventState.HALTED | EventState.COMPATIBILITY);
  return true;
}
