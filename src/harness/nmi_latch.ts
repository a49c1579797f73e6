/**
 * The NMI latch (SDM vol. 3, 6.7.1): the delivery of an NMI blocks further ones until an IRET executes; while they are
 * blocked one NMI is remembered and all others collapse into it.
 */
import { Reg } from '../cpu/registers.js';
import type { Profile } from '../profiles/profile.js';
import { EventState } from './event_state.js';

const EVENTS = 2 * Reg.EVENTS;

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

  /** What holds NMIs back: the latch, a MOV SS, and on some processors an STI. */
  get blockingMask(): number {
    const shadow = this.profile.stiShadowBlocksNmi ? EventState.STI_SHADOW : 0;
    return EventState.NMI_BLOCKED | EventState.MOV_SS_SHADOW | shadow;
  }

  /** The delivery of the pending NMI begins: it is consumed, and the next one must wait. */
  take(): void {
    this.u32[EVENTS] = (this.u32[EVENTS]! & ~EventState.NMI_PENDING) | EventState.NMI_BLOCKED;
  }

  /** An IRET executes. */
  unblock(): void {
    this.u32[EVENTS]! &= ~EventState.NMI_BLOCKED;
  }
}
