/**
 * ERETU, ERETS and LKGS (SDM vol. 2; vol. 3, 8.4). The returns check all that they load, and change nothing when they fault: NMIs
 * are unblocked by one that completes, and only if bit 18 of the saved SS says that an NMI is over.
 */
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { pend } from '../debug.js';
import { Segment } from '../descriptors.js';
import { EventState } from '../event_state.js';
import { exchangeGsBases, FredConfig, FredFrame, fredEnabled, SavedCs, SavedSs, setStackLevel } from '../fred.js';
import { type Machine, Return } from '../machine.js';
import { checkReturnCode, checkReturnStack, checkTarget, markAccessed } from '../segment_checks.js';
import { advance, readOperand } from './operands.js';
import { loadSegment } from './segments.js';

/** Bits 31 to 22, VM, 15, 5 and 3 of RFLAGS must be 0; ERETU does not load an IOPL either. Bit 1 must be 1. */
const RFLAGS_RESERVED = 0xffc28028;
/** What of the saved words is not a selector: the level and the end of an indirect branch in CS, three marks in SS. */
const MARKS = 7 << 16;

/** Distances from the selector in IA32_STAR[63:48]. */
const Offset = { CODE_64: 16, STACK: 8, CODE_32: 0 } as const;

interface Frame {
  readonly ripLow: number;
  readonly ripHigh: number;
  readonly cs: number;
  readonly csHigh: number;
  readonly rflags: number;
  readonly rspLow: number;
  readonly rspHigh: number;
  /** Bits 63 to 32 tell the handler about the event, and are ignored. */
  readonly ss: number;
}

/** The frame above the error code; undefined when reading it faults, or when it has flags that cannot be loaded. */
function readFrame(machine: Machine, forbidden: number): Frame | undefined {
  if (!machine.readStack(FredFrame.RIP)) return undefined;
  const ripLow = machine.readLow;
  const ripHigh = machine.readHigh;
  if (!machine.readStack(FredFrame.CS)) return undefined;
  const cs = machine.readLow;
  const csHigh = machine.readHigh;
  if (!machine.readStack(FredFrame.RFLAGS)) return undefined;
  const rflags = machine.readLow;
  const sound = machine.readHigh === 0 && (rflags & (forbidden | Flag.ONE)) === Flag.ONE;
  if (!machine.readStack(FredFrame.RSP)) return undefined;
  const rspLow = machine.readLow;
  const rspHigh = machine.readHigh;
  if (!machine.readStack(FredFrame.SS)) return undefined;
  const ss = machine.readLow;
  if (!sound) {
    machine.cpu.raiseWith(Vector.GP, 0);
    return undefined;
  }
  return { ripLow, ripHigh, cs, csHigh, rflags, rspLow, rspHigh, ss };
}

/** What the frame says about events: ends NMI blocking, and reports the single step of an instruction that was an event. */
function finish(machine: Machine, frame: Frame, returned: number): true {
  const { u32 } = machine;
  u32[2 * Reg.RFLAGS] = frame.rflags;
  u32[2 * Reg.RSP] = frame.rspLow;
  u32[2 * Reg.RSP + 1] = frame.rspHigh;
  if (frame.ss & SavedSs.NMI) machine.nmi.unblock();
  if (frame.ss & SavedSs.SOFTWARE && frame.rflags & Flag.TF) pend(machine, EventState.PENDING_BS);
  machine.happened.returned = returned;
  return true;
}

/** Returns to ring 0; the stack level becomes the saved one, but never a higher one. */
export function erets(machine: Machine): boolean {
  const { cpu, u32 } = machine;
  if (!fredEnabled(machine) || cpu.cpl !== 0) return cpu.raise(Vector.UD);
  const frame = readFrame(machine, RFLAGS_RESERVED);
  if (!frame) return false;
  const sound =
    cpu.isCanonical(frame.ripHigh) &&
    frame.csHigh === 0 &&
    (frame.cs & ~MARKS) >>> 0 === u32[2 * Reg.CS] &&
    (frame.ss & ~MARKS) >>> 0 === u32[2 * Reg.SS];
  if (!sound) return cpu.raiseWith(Vector.GP, 0);
  u32[2 * Reg.RIP] = frame.ripLow;
  u32[2 * Reg.RIP + 1] = frame.ripHigh;
  const level = u32[2 * Reg.FRED_CONFIG]! & FredConfig.LEVEL;
  setStackLevel(machine, Math.min(level, (frame.cs >>> SavedCs.LEVEL_SHIFT) & 3));
  const blocked = u32[2 * Reg.EVENTS]! & EventState.STI_SHADOW;
  if (frame.ss & SavedSs.STI && frame.rflags & Flag.IF && !blocked) u32[2 * Reg.EVENTS]! |= EventState.STI_SHADOW;
  return finish(machine, frame, Return.ERETS);
}

/** Returns to ring 3 from stack level 0, to the segments of IA32_STAR or to those that the descriptor tables define. */
export function eretu(machine: Machine): boolean {
  const { cpu, u32 } = machine;
  if (!fredEnabled(machine) || cpu.cpl !== 0) return cpu.raise(Vector.UD);
  if (u32[2 * Reg.FRED_CONFIG]! & FredConfig.LEVEL) return cpu.raiseWith(Vector.GP, 0);
  const frame = readFrame(machine, RFLAGS_RESERVED | Flag.IOPL);
  if (!frame) return false;
  const sound = frame.csHigh === 0 && frame.cs >>> 16 === 0 && frame.ss >>> 19 === 0;
  if (!sound || (frame.cs & 3) !== 3 || (frame.ss & 3) !== 3) return cpu.raiseWith(Vector.GP, 0);
  const ss = frame.ss & 0xffff;
  const long = checkSegments(machine, frame, ss);
  if (long === undefined) return false;
  u32[2 * Reg.RIP] = frame.ripLow;
  u32[2 * Reg.RIP + 1] = long ? frame.ripHigh : 0;
  u32[2 * Reg.CS] = frame.cs;
  u32[2 * Reg.SS] = ss;
  if (long) u32[2 * Reg.EVENTS]! &= ~EventState.COMPATIBILITY;
  else u32[2 * Reg.EVENTS]! |= EventState.COMPATIBILITY;
  exchangeGsBases(machine);
  return finish(machine, long ? frame : { ...frame, rspHigh: 0 }, Return.ERETU);
}

/** Whether the frame of an ERETU leads to 64-bit mode; undefined where its segments or its RIP are refused. */
function checkSegments(machine: Machine, { cs, ripLow, ripHigh }: Frame, ss: number): boolean | undefined {
  const { cpu, u32 } = machine;
  const base = u32[2 * Reg.STAR + 1]! >>> 16;
  if (ss === base + Offset.STACK && (cs === base + Offset.CODE_64 || cs === base + Offset.CODE_32)) {
    if (cs === base + Offset.CODE_32) return false;
    if (cpu.isCanonical(ripHigh)) return true;
    cpu.raiseWith(Vector.GP, 0);
    return undefined;
  }
  if (!checkReturnCode(machine, cs)) return undefined;
  const codeLow = machine.readLow;
  const codeHigh = machine.readHigh;
  if (!checkReturnStack(machine, ss, 3, codeHigh)) return undefined;
  const stack = machine.readHigh;
  if (!checkTarget(machine, codeLow, codeHigh, ripLow, ripHigh)) return undefined;
  if (!markAccessed(machine, cs, codeHigh) || !markAccessed(machine, ss, stack)) return undefined;
  return (codeHigh & Segment.LONG) !== 0;
}

/** Loads GS as MOV does, but its base goes to IA32_KERNEL_GS_BASE. Outside ring 0 it is undefined. */
export function lkgs(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (!machine.profile.fred || cpu.cpl !== 0) return cpu.raise(Vector.UD);
  const value = readOperand(machine, instruction, 0);
  if (value === undefined) return false;
  exchangeGsBases(machine);
  const loaded = loadSegment(machine, Reg.GS, Number(value & 0xffffn));
  exchangeGsBases(machine);
  return loaded && advance(machine, instruction);
}
