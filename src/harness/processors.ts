/**
 * Several logical processors (SDM vol. 3, chapter 8) that share memory: one runs at a time, and which one goes next is an action
 * like any other. The registers of the running one are the register file proper; those of the others are parked in banks
 * behind it. Every interleaving of whole instructions can be had; stores are seen by all at once (no store buffers).
 *
 * A processor that halts, that stands at the end of its context, or that executes PAUSE lets the next one run.
 */
import { REGISTER_COUNT, Reg } from '../cpu/registers.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';
import { interruptDeliverable } from './priorities.js';
import { openWindow } from './vmx.js';

/** As many as fingerprints have places for. */
export const MAX_PROCESSORS = 8;

const BANK = 2 * REGISTER_COUNT;
const STOPPED = EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI;

/** An address, in halves. */
interface Place {
  readonly low: number;
  readonly high: number;
}

export class Processors {
  /** Where the context of each processor ends: there it idles, as in HLT. Set when the machine is booted. */
  ends: readonly Place[] = [];

  constructor(
    readonly machine: Machine,
    readonly count: number,
  ) {}

  /** The number of the running processor. */
  get running(): number {
    return this.machine.u32[2 * Reg.PROCESSOR]!;
  }

  /** The place of a register of processor `n` in the register file: its low half in `u32`. */
  place(n: number, register: number): number {
    return (n === this.running ? 0 : BANK * (1 + n)) + 2 * register;
  }

  /** The next processor after the running one that has something to do; -1 if no other has. */
  next(): number {
    for (let i = 1; i < this.count; i++) {
      const n = (this.running + i) % this.count;
      if (!this.#idles(n)) return n;
    }
    return -1;
  }

  /** Whether no processor has anything to do any more. */
  get allIdle(): boolean {
    return this.#idles(this.running) && this.next() < 0;
  }

  #idles(n: number): boolean {
    const { u32, nmi } = this.machine;
    const events = u32[this.place(n, Reg.EVENTS)]!;
    if (events & STOPPED) return true;
    if (!(events & EventState.HALTED)) return false;
    const wakes =
      (events & (EventState.SMI_PENDING | EventState.INIT_PENDING | EventState.MC_PENDING)) !== 0 ||
      nmi.deliverableWith(events) ||
      openWindow(this.machine, events, n) >= 0 ||
      interruptDeliverable(this.machine, events, n);
    return !wakes;
  }

  /** Lets processor `n` run: an exchange of registers. */
  switchTo(n: number): void {
    const { machine } = this;
    const { u32 } = machine;
    const from = this.running;
    u32.copyWithin(BANK * (1 + from), 0, BANK);
    u32.copyWithin(0, BANK * (1 + n), BANK * (2 + n));
    // The bank of the running one is empty, so that a state has one form.
    u32.fill(0, BANK * (1 + n), BANK * (2 + n));
    machine.happened.switchedFrom = from;
    machine.changed();
    machine.leaveInstruction();
  }

  /** Whether the running processor stands at the end of its context. */
  get atEnd(): boolean {
    const { u32 } = this.machine;
    const end = this.ends[u32[2 * Reg.PROCESSOR]!];
    return end !== undefined && u32[2 * Reg.RIP] === end.low && u32[2 * Reg.RIP + 1] === end.high;
  }

  /** To be called after each instruction: the end of the context is a place to idle. */
  settle(): void {
    if (!this.atEnd) return;
    this.machine.u32[2 * Reg.EVENTS]! |= EventState.HALTED;
    this.machine.systemChanged = true;
  }

  /** The running processor waits: another one goes on, if there is one that can. */
  yield(): void {
    const next = this.next();
    if (next >= 0) this.switchTo(next);
  }
}
