/**
 * Debug exceptions: breakpoints on instructions, data and I/O ports, the single-step trap, general detect, and what #DB
 * tells its handler in DR6. SDM vol. 3, 17.2 (debug registers), 17.3.1 (#DB), 6.8.2 and 6.8.3 (RF and MOV SS), 6.9
 * (priorities); APM vol. 2, 13.1.
 *
 * What the processor has met but not yet reported is among the bits of Reg.EVENTS (PENDING_B0 to PENDING_BS), and it is
 * reported at the next boundary. Where the manuals leave a choice:
 *
 * - B0 to B3 are set for enabled breakpoints only; the manual lets the processor set those of others that match.
 * - An instruction that faults reports no data breakpoint, nor does an attempt to deliver an event that faults.
 * - DR6 and DR7.GD change when #DB is raised, and stay so if its delivery then faults.
 * - Pending traps outlive the delivery of an event with a higher priority (#MC): they come at the first instruction of its handler.
 * - R/W = 10 with CR4.DE clear matches nothing.
 */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../cpu/cpu.js';
import { Access, type Instruction } from '../cpu/decoder.js';
import { Flag, Reg } from '../cpu/registers.js';
import { deliver, exits, Origin } from './delivery.js';
import { EventState, PENDING_DEBUG, PENDING_DEBUG_SHIFT } from './event_state.js';
import type { Machine } from './machine.js';
import { inGuest } from './vmx.js';

/** DR6: breakpoints 0 to 3, access to a debug register, single step; BT (task switch) does not occur in 64-bit mode. */
export const Dr6 = { B0_TO_B3: 0xf, BD: 1 << 13, BS: 1 << 14, BT: 1 << 15, FIXED: 0xffff0ff0 } as const;

/** DR7: L0 to G3, LE, GE, general detect, then R/W and LEN of each breakpoint from bit 16 on. */
export const Dr7 = { ENABLED: 0xff, GD: 1 << 13, FIXED: 1 << 10, WRITABLE: 0xffff23ff } as const;

/** What the registers hold after a reset. */
export const DR6_RESET = 0xffff0ff0n;
export const DR7_RESET = 0x400n;

/** R/Wn: what breakpoint n is for. */
const Condition = { INSTRUCTION: 0, WRITE: 1, IO: 2, ACCESS: 3 } as const;

/** Bytes by LENn: 1, 2, 8, 4. */
const LENGTHS: readonly bigint[] = [1n, 2n, 8n, 4n];

const CR4_DE = 1 << 3;
const DR6 = 2 * Reg.DR6;
const DR7 = 2 * Reg.DR7;
const EVENTS = 2 * Reg.EVENTS;

/** R/W of breakpoint `n`; -1 if it is not enabled. */
function conditionOf(dr7: number, n: number): number {
  return dr7 & (3 << (2 * n)) ? (dr7 >>> (16 + 4 * n)) & 3 : -1;
}

/** Whether one of `size` bytes from `address` on lies in breakpoint `n`; its low bits, up to its length, do not count. */
function covers(machine: Machine, n: number, length: bigint, address: bigint, size: number): boolean {
  const { u64 } = machine.cpu.regs;
  const ignored = u64[Reg.DR0_MASK + n]! | (length - 1n);
  const wanted = u64[Reg.DR0 + n]! & ~ignored;
  for (let i = 0n; i < size; i++) if ((BigInt.asUintN(64, address + i) & ~ignored) === wanted) return true;
  return false;
}

/** The breakpoints, as in DR6, whose condition `applies` and that cover one of `size` bytes from `address` on. */
function matching(machine: Machine, address: bigint, size: number, applies: (condition: number) => boolean): number {
  const dr7 = machine.u32[DR7]!;
  let found = 0;
  for (let n = 0; n < 4; n++) {
    const condition = conditionOf(dr7, n);
    if (condition < 0 || !applies(condition)) continue;
    const length = condition === Condition.INSTRUCTION ? 1n : LENGTHS[(dr7 >>> (18 + 4 * n)) & 3]!;
    if (covers(machine, n, length, address, size)) found |= 1 << n;
  }
  return found;
}

/** To be called for each access of `size` bytes at high:low while DR7 enables a breakpoint. */
export function watchAccess(machine: Machine, high: number, low: number, size: number, access: number): void {
  const address = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  const write = (access & Access.WRITE) !== 0;
  machine.breakpointsHit |= matching(
    machine,
    address,
    size,
    (condition) => condition === Condition.ACCESS || (condition === Condition.WRITE && write),
  );
}

/** To be called before a plain instruction is executed, if a breakpoint may be enabled. */
export function watchOperands(machine: Machine, instruction: Instruction): void {
  const { cpu, u32 } = machine;
  if (!(u32[DR7]! & Dr7.ENABLED)) return;
  if (instruction.repeat && cpu.regs.u64[Reg.RCX] === 0n) return;
  for (const operand of instruction.memory) {
    const address = cpu.addressOf(operand);
    cpu.watch(Number(address >> 32n), Number(address & 0xffffffffn), operand.size, operand.access);
  }
}

/** To be called by IN, OUT, INS and OUTS for each access to `size` ports from `port` on: I/O breakpoints need CR4.DE. */
export function watchPort(machine: Machine, port: number, size: number): void {
  if (!(machine.u32[DR7]! & Dr7.ENABLED) || !(machine.u32[2 * Reg.CR4]! & CR4_DE)) return;
  machine.breakpointsHit |= matching(machine, BigInt(port), size, (condition) => condition === Condition.IO);
}

/**
 * To be called before an instruction that begins with TF set or with a breakpoint enabled. True: there is a breakpoint
 * on the instruction, and #DB has been delivered in its place, a fault. RF suppresses it, and so does a MOV SS just before.
 */
export function breaksBefore(machine: Machine): boolean {
  const { u32 } = machine;
  machine.breakpointsHit = 0;
  if (!(u32[DR7]! & Dr7.ENABLED) || u32[2 * Reg.RFLAGS]! & Flag.RF) return false;
  if (u32[EVENTS]! & EventState.MOV_SS_SHADOW) return false;
  const hit = matching(machine, machine.cpu.regs.u64[Reg.RIP]!, 1, (condition) => condition === Condition.INSTRUCTION);
  if (hit === 0) return false;
  raise(machine, hit);
  return true;
}

/** The instructions after which TF is looked at as they have left it; all others: as it was before them. */
const CHANGING_TF_FIRST: ReadonlySet<Mnemonic> = new Set([Mnemonic.Syscall, Mnemonic.Sysret, Mnemonic.Sysretq]);

/**
 * To be called after an instruction that has completed, if TF is or was set or a breakpoint is enabled: notes the traps
 * that it has met. `rflagsBefore` are the flags with which it began. An INT n has cleared TF and is not traced; nor is
 * a MOV SS, whose shadow has just begun.
 */
export function noteTraps(machine: Machine, instruction: Instruction, rflagsBefore: number): void {
  const { u32, happened } = machine;
  if (happened.delivered || happened.vmExit >= 0) return;
  const rflags = CHANGING_TF_FIRST.has(instruction.mnemonic) ? u32[2 * Reg.RFLAGS]! : rflagsBefore;
  const step = rflags & Flag.TF && !(u32[EVENTS]! & EventState.MOV_SS_SHADOW);
  pend(machine, (machine.breakpointsHit << PENDING_DEBUG_SHIFT) | (step ? EventState.PENDING_BS : 0));
  machine.breakpointsHit = 0;
}

/** To be called when the delivery of `vector` has succeeded: data breakpoints on what it read and wrote are reported after it. */
export function noteDeliveryTraps(machine: Machine, vector: number): void {
  const nested = vector === Vector.DB && machine.profile.noNestedDataBreakpoint;
  if (!nested) pend(machine, machine.breakpointsHit << PENDING_DEBUG_SHIFT);
  machine.breakpointsHit = 0;
}

/** Makes debug exceptions (bits of EventState) pending. */
export function pend(machine: Machine, bits: number): void {
  if (bits === 0) return;
  machine.u32[EVENTS]! |= bits;
  machine.systemChanged = true;
}

/** Whether pending debug exceptions are delivered at a boundary with these EVENTS bits: a MOV SS defers them. */
export function debugTrapDeliverable(events: number): boolean {
  return (events & PENDING_DEBUG) !== 0 && !(events & EventState.MOV_SS_SHADOW);
}

/** Delivers the pending debug exceptions, all as one #DB. */
export function takeDebugTrap(machine: Machine): void {
  const events = machine.u32[EVENTS]!;
  const breakpoints = (events >>> PENDING_DEBUG_SHIFT) & Dr6.B0_TO_B3;
  machine.u32[EVENTS] = events & ~PENDING_DEBUG;
  raise(machine, breakpoints | (events & EventState.PENDING_BS ? Dr6.BS : 0));
}

/** The instruction after a MOV SS faults: what MOV SS has deferred is not reported, on processors that drop it. */
export function faultDropsDeferred(machine: Machine): void {
  if (machine.profile.faultDropsDeferredDebug) machine.u32[EVENTS]! &= ~PENDING_DEBUG;
}

/** An instruction that is about to access a debug register while DR7.GD is set: #DB as a fault, with RF in its image. */
export function generalDetect(machine: Machine): void {
  faultDropsDeferred(machine);
  machine.u32[2 * Reg.RFLAGS]! |= Flag.RF;
  raise(machine, Dr6.BD);
}

/** INT1, of `length` bytes: #DB that reports nothing in DR6, and in place of what a MOV SS has deferred. */
export function debugInterrupt(machine: Machine, length: number): void {
  machine.u32[EVENTS]! &= ~PENDING_DEBUG;
  raise(machine, 0, length);
}

/** Raises #DB. DR6 collects `causes`, software alone clears it; of DR7 only GD is cleared, so that the handler can use the registers. */
function raise(machine: Machine, causes: number, length = 0): void {
  const { u32 } = machine;
  // A #DB that causes a VM exit leaves DR6 and DR7 as they are: the host finds the causes in the exit qualification.
  if (inGuest(machine) && exits(machine, Vector.DB, Origin.EXCEPTION, undefined, length, causes)) return;
  machine.rareChange(Reg.DR6);
  u32[DR6] = (u32[DR6]! | causes | Dr6.FIXED) >>> 0;
  u32[DR7]! &= ~Dr7.GD;
  deliver(machine, Vector.DB, Origin.EXCEPTION, undefined, length, causes);
}
