/**
 * The NMI latch (SDM vol. 3, 6.7.1): the delivery of an NMI blocks further ones until an IRET executes; while they are
 * blocked one NMI is remembered and all others collapse into it.
 */

import { Vector } from '../cpu/cpu.js';
import { Reg } from '../cpu/registers.js';
import type { Profile } from '../profiles/profile.js';
import { deliver, Origin } from './delivery.js';
import { EventState, PENDING_DEBUG } from './event_state.js';
import type { Machine } from './machine.js';
import { exitByNmi } from './vm_exit.js';
import { nmiExits } from './vmx.js';

const EVENTS = 2 * Reg.EVENTS;

const BLOCKING =
  EventState.NMI_BLOCKED |
  EventState.MOV_SS_SHADOW |
  EventState.INIT_PENDING |
  EventState.WAIT_FOR_SIPI |
  PENDING_DEBUG;

export class NmiLatch {
  constructor(
    readonly u32: Uint32Array,
    readonly profile: Profile,
  ) {}

  get blocked(): boolean {
    return (this.u32[EVENTS]! & EventState.NMI_BLOCKED) !== 0;
  }

  get pending(): boolean {
    return (this.u32[EVENTS]! & EventState.NMI_PENDING) !== 0;
  }

  /** An NMI arrives at the processor; one that arrives while another is pending is the same NMI. */
  raise(): void {
    this.u32[EVENTS]! |= EventState.NMI_PENDING;
  }

  /** Whether a pending NMI would be delivered at this boundary. */
  get deliverable(): boolean {
    return this.deliverableWith(this.u32[EVENTS]!);
  }

  deliverableWith(events: number): boolean {
    return (events & EventState.NMI_PENDING) !== 0 && !(events & this.blockingMask);
  }

  /** What holds NMIs back: the latch, a MOV SS, on some processors an STI, and what has a higher priority. */
  get blockingMask(): number {
    return this.profile.stiShadowBlocksNmi ? BLOCKING | EventState.STI_SHADOW : BLOCKING;
  }

  /** The delivery of the pending NMI begins: it is consumed, and the next one must wait. */
  take(): void {
    this.u32[EVENTS] = (this.u32[EVENTS]! & ~EventState.NMI_PENDING) | EventState.NMI_BLOCKED;
  }

  /** Delivers the pending NMI: to the host of a guest that has asked for it, or else through the IDT. */
  deliver(machine: Machine): void {
    if (nmiExits(machine.u32[EVENTS]!)) {
      exitByNmi(machine);
      return;
    }
    this.take();
    deliver(machine, Vector.NMI, Origin.EXTERNAL, undefined);
  }

  /** An IRET executes. */
  unblock(): void {
    this.u32[EVENTS]! &= ~EventState.NMI_BLOCKED;
  }
}
