/**
 * Delivery of interrupts and exceptions in 64-bit mode: gate, stack, frame, flags; and what happens when the delivery
 * itself faults. SDM vol. 3, 6.12 to 6.15; the IDT, GDT and TSS are read from guest memory at the time of delivery.
 */
import { Vector } from '../cpu/cpu.js';
import { Flag, Reg } from '../cpu/registers.js';
import { faultDropsDeferred, noteDeliveryTraps } from './debug.js';
import { descriptorDpl, GateType, Segment, Tss } from './descriptors.js';
import { EventState } from './event_state.js';
import { attemptFred, fredEnabled } from './fred.js';
import type { Machine } from './machine.js';
import { markAccessed } from './segment_checks.js';
import { describe, exceptionExits, exitByTripleFault } from './vm_exit.js';
import { inGuest } from './vmx.js';

/** How an event came about: it decides the gate's privilege check and the error code's EXT bit. */
export const Origin = {
  /** From outside the instruction stream: a real NMI, a real #MC. */
  EXTERNAL: 0,
  /** Raised by the processor while it executed an instruction. */
  EXCEPTION: 1,
  /** INT n, INT3: subject to the gate's DPL. */
  SOFTWARE: 2,
  /** A maskable interrupt, whatever its vector: vector 2 from the INTR pin is no NMI. */
  INTERRUPT: 3,
  /** SYSCALL and SYSENTER, where they are events: under FRED. */
  SYSTEM_CALL: 4,
} as const;

/** Error code bits of selector-related faults (SDM vol. 3, 6.13). */
const ErrorCode = { EXT: 1, IDT: 2 } as const;

/** Faults (as opposed to traps and aborts): RF is set in the pushed RFLAGS (SDM vol. 3, 17.3.1.1). */
export const FAULTS: ReadonlySet<number> = new Set([
  ...[Vector.DE, Vector.BR, Vector.UD, Vector.NM, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF, Vector.MF],
  ...[Vector.AC, Vector.XM, Vector.CP, Vector.VC],
]);

/** Contributory exceptions (SDM vol. 3, table 6-4). */
const CONTRIBUTORY: ReadonlySet<number> = new Set([
  ...[Vector.DE, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.CP, Vector.VC],
]);

/**
 * Delivers the event `vector`. When its delivery faults, the fault is delivered in its place or both become #DF
 * (SDM vol. 3, table 6-5); a fault while #DF is delivered shuts the processor down. `length` is that of the INT n, INT3 or
 * INT1 at RIP: its frame names the address after it, but a fault of its delivery is the instruction's own. `data` is what a
 * #DB reports, for a frame that has room for it. `injected`: the type that a VM entry has given the event, which then causes no VM exit.
 */
export function deliver(
  machine: Machine,
  vector: number,
  origin: number,
  code: number | undefined,
  length = 0,
  data = 0,
  injected = -1,
): void {
  const guest = inGuest(machine);
  if (guest && injected < 0 && exits(machine, vector, origin, code, length, data)) return;
  const fred = fredEnabled(machine);
  let v = vector;
  let from = origin;
  let errorCode = code;
  machine.leaveInstruction();
  machine.registersBefore.set(machine.u32);
  if (origin === Origin.EXCEPTION && FAULTS.has(vector)) faultDropsDeferred(machine);
  if (length !== 0) setSavedRip(machine, BigInt(length));
  for (let nested = false; ; nested = true) {
    const mark = machine.memory.journalLength;
    machine.breakpointsHit = 0;
    const delivered = fred
      ? attemptFred(machine, v, from, errorCode, nested ? 0 : length, nested ? 0 : data, nested)
      : attempt(machine, v, from, errorCode);
    if (delivered) break;
    machine.memory.undoTo(mark);
    // What the failed attempt changed is taken back, but not the latch that an NMI has set. A processor may leave in memory
    // what it has pushed of the frame; no manual says how much.
    restoreInterrupted(machine);
    const second = machine.cpu.faultVector;
    if (guest) {
      const described = describe(machine, v, from, errorCode, nested ? 0 : length);
      const type = nested || injected < 0 ? described.type : injected;
      const secondCode = machine.cpu.hasFaultCode ? machine.cpu.faultCode : undefined;
      const fault = describe(machine, second, Origin.EXCEPTION, secondCode, 0);
      if (exceptionExits(machine, fault, savedFlags(machine, v, from), 0, { ...described, type })) return;
    }
    // CR2 is loaded whenever a page fault is detected, also by one that becomes #DF or shuts the processor down.
    if (second === Vector.PF) setCr2(machine);
    // An address that is not canonical is found by the access itself, which does not know of the event.
    else if (machine.cpu.hasFaultCode && from !== Origin.SOFTWARE && from !== Origin.SYSTEM_CALL)
      machine.cpu.faultCode |= ErrorCode.EXT;
    if (length !== 0) setSavedRip(machine, 0n);
    // INT n and what comes from outside is benign, whatever its vector.
    if (v === Vector.DF && from === Origin.EXCEPTION) {
      if (guest) exitByTripleFault(machine);
      else machine.shutDown('a fault occurred while #DF was being delivered (triple fault)');
      return;
    }
    if (v === Vector.NMI && from === Origin.EXTERNAL && !machine.profile.faultingDeliveryBlocksNmi)
      machine.nmi.unblock();
    const contributory = CONTRIBUTORY.has(second);
    if (
      from === Origin.EXCEPTION &&
      (CONTRIBUTORY.has(v) ? contributory : v === Vector.PF && (contributory || second === Vector.PF))
    ) {
      v = Vector.DF;
      errorCode = 0;
      if (guest && exits(machine, v, Origin.EXCEPTION, 0, 0, 0)) return;
    } else {
      v = second;
      errorCode = machine.cpu.hasFaultCode ? machine.cpu.faultCode : undefined;
    }
    from = Origin.EXCEPTION;
  }
  noteDeliveryTraps(machine, v);
  machine.happened.delivered = true;
  machine.happened.vector = v;
  machine.happened.requestedVector = vector;
  machine.happened.origin = from;
  machine.happened.requestedOrigin = origin;
  machine.changed();
}

/** Whether a guest leaves because of this event, with arguments as of `deliver`: then it has left. */
export function exits(
  machine: Machine,
  vector: number,
  origin: number,
  code: number | undefined,
  length: number,
  data: number,
): boolean {
  const event = describe(machine, vector, origin, code, length);
  return exceptionExits(machine, event, savedFlags(machine, vector, origin), data);
}

/** Delivers the exception that the instruction at RIP has raised (it is described by the CPU's fault fields). */
export function deliverFault(machine: Machine): void {
  const cpu = machine.cpu;
  const code = cpu.hasFaultCode ? cpu.faultCode : undefined;
  // CR2 is not loaded by a page fault that causes a VM exit.
  if (inGuest(machine) && exits(machine, cpu.faultVector, Origin.EXCEPTION, code, 0, 0)) return;
  if (cpu.faultVector === Vector.PF) setCr2(machine);
  deliver(machine, cpu.faultVector, Origin.EXCEPTION, code);
}

/** Lets the frame name RIP + `length` as the place to go on. */
function setSavedRip(machine: Machine, length: bigint): void {
  const rip = BigInt.asUintN(64, machine.cpu.regs.u64[Reg.RIP]! + length);
  machine.registersBefore[2 * Reg.RIP] = Number(rip & 0xffffffffn);
  machine.registersBefore[2 * Reg.RIP + 1] = Number(rip >> 32n);
}

function setCr2(machine: Machine): void {
  machine.u32[2 * Reg.CR2] = machine.cpu.faultLow;
  machine.u32[2 * Reg.CR2 + 1] = machine.cpu.faultHigh;
}

function restoreInterrupted(machine: Machine): void {
  const before = machine.registersBefore;
  const u32 = machine.u32;
  // RIP is not in the list: it moves only once a delivery has succeeded.
  for (const r of [Reg.RSP, Reg.RFLAGS, Reg.CS, Reg.SS]) {
    u32[2 * r] = before[2 * r]!;
    u32[2 * r + 1] = before[2 * r + 1]!;
  }
}

/** The image of RFLAGS that an event pushes: RF is set in that of a fault. */
export function savedFlags(machine: Machine, vector: number, origin: number): number {
  const fault = origin === Origin.EXCEPTION && FAULTS.has(vector);
  return (machine.u32[2 * Reg.RFLAGS]! | (fault ? Flag.RF : 0)) >>> 0;
}

function attempt(machine: Machine, vector: number, origin: number, code: number | undefined): boolean {
  const { cpu, u32 } = machine;
  const cpl = cpu.cpl;
  const ext = origin === Origin.SOFTWARE ? 0 : ErrorCode.EXT;
  const idtCode = vector * 8 + ErrorCode.IDT + ext;

  // The gate, read as two 8-byte halves, since software also writes it as two.
  if (vector * 16 + 15 > u32[2 * Reg.IDTR_LIMIT]!) return cpu.raiseWith(Vector.GP, idtCode);
  if (!machine.readSystem(Reg.IDTR_BASE, vector * 16)) return false;
  const gateLow = machine.readLow;
  const gateHigh = machine.readHigh;
  if (!machine.readSystem(Reg.IDTR_BASE, vector * 16 + 8)) return false;
  const targetHigh = machine.readLow;
  const type = (gateHigh >>> 8) & 0x1f;
  if (type !== GateType.INTERRUPT && type !== GateType.TRAP) return cpu.raiseWith(Vector.GP, idtCode);
  if (origin === Origin.SOFTWARE && ((gateHigh >>> 13) & 3) < cpl) return cpu.raiseWith(Vector.GP, idtCode);
  if (!(gateHigh & 0x8000)) return cpu.raiseWith(Vector.NP, idtCode);
  const targetLow = ((gateHigh & 0xffff0000) | (gateLow & 0xffff)) >>> 0;

  // The code segment.
  const selector = (gateLow >>> 16) & 0xfffc;
  if (selector === 0) return cpu.raiseWith(Vector.GP, ext);
  if (!machine.readDescriptor(selector, Vector.GP, selector | ext)) return false;
  const descriptor = machine.readHigh;
  const codeBits = Segment.CODE_OR_DATA | Segment.EXECUTABLE;
  if ((descriptor & codeBits) !== codeBits) return cpu.raiseWith(Vector.GP, selector | ext);
  if (descriptorDpl(descriptor) > cpl) return cpu.raiseWith(Vector.GP, selector | ext);
  if (!(descriptor & Segment.PRESENT)) return cpu.raiseWith(Vector.NP, selector | ext);
  if (!(descriptor & Segment.LONG) || descriptor & Segment.DEFAULT_BIG) return cpu.raiseWith(Vector.GP, selector | ext);
  const newCpl = descriptor & Segment.CONFORMING ? cpl : descriptorDpl(descriptor);

  // The stack: an IST slot always, RSPn when the privilege level changes, otherwise the current one.
  const ist = gateHigh & 7;
  let rspLow = u32[2 * Reg.RSP]!;
  let rspHigh = u32[2 * Reg.RSP + 1]!;
  if (ist !== 0 || newCpl < cpl) {
    const offset = ist !== 0 ? Tss.IST1 + 8 * (ist - 1) : Tss.RSP0 + 8 * newCpl;
    if (offset + 7 > u32[2 * Reg.TR_LIMIT]!) return cpu.raiseWith(Vector.TS, machine.u32[2 * Reg.TR]! | ext);
    if (!machine.readSystem(Reg.TR_BASE, offset)) return false;
    rspLow = machine.readLow;
    rspHigh = machine.readHigh;
    // The current stack pointer may be anything: only what is pushed must have an address.
    if (!cpu.isCanonical(rspHigh)) return cpu.raiseWith(Vector.SS, ext);
  }
  rspLow = (rspLow & ~15) >>> 0;

  // The frame. The pushes are supervisor writes whatever the CPL was.
  machine.pushHigh = rspHigh;
  machine.pushLow = rspLow;
  if (!machine.push(u32[2 * Reg.SS]!, 0)) return false;
  if (!machine.push(u32[2 * Reg.RSP]!, u32[2 * Reg.RSP + 1]!)) return false;
  if (!machine.push(savedFlags(machine, vector, origin), 0)) return false;
  if (!machine.push(u32[2 * Reg.CS]!, 0)) return false;
  if (!machine.push(machine.registersBefore[2 * Reg.RIP]!, machine.registersBefore[2 * Reg.RIP + 1]!)) return false;
  if (code !== undefined && !machine.push(code, 0)) return false;

  if (!cpu.isCanonical(targetHigh)) return cpu.raiseWith(Vector.GP, ext);
  if (!markAccessed(machine, selector, descriptor)) return false;
  machine.happened.ist = ist;
  machine.happened.stackTopLow = rspLow;
  machine.happened.stackTopHigh = rspHigh;
  if (newCpl < cpl) {
    u32[2 * Reg.SS] = newCpl;
    u32[2 * Reg.SS + 1] = 0;
  }
  u32[2 * Reg.RSP] = machine.pushLow;
  u32[2 * Reg.RSP + 1] = machine.pushHigh;
  u32[2 * Reg.CS] = selector | newCpl;
  u32[2 * Reg.RIP] = targetLow;
  u32[2 * Reg.RIP + 1] = targetHigh;
  const cleared = Flag.TF | Flag.NT | Flag.RF | Flag.VM | (type === GateType.INTERRUPT ? Flag.IF : 0);
  u32[2 * Reg.RFLAGS]! &= ~cleared;
  // A delivery ends every shadow and wakes a halted processor, and its handler runs in 64-bit mode.
  const shadows = EventState.STI_SHADOW | EventState.MOV_SS_SHADOW;
  u32[2 * Reg.EVENTS]! &= ~(shadows | EventState.HALTED | EventState.COMPATIBILITY);
  return true;
}
