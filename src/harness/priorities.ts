/**
 * What the processor takes at an instruction boundary before the next instruction, and in which order
 * (SDM vol. 3, 6.9, table 6-2): SMI and INIT, traps of the previous instruction, NMI, maskable interrupts. #MC has the
 * highest priority and never waits: it is delivered when it is fired.
 */
import { Reg } from '../cpu/registers.js';
import { EventState, PENDING_DEBUG } from './event_state.js';
import type { Machine } from './machine.js';

const EVENTS = 2 * Reg.EVENTS;

/** Whether something is taken before the next instruction at this boundary, for a machine with these EVENTS bits. */
export function takesPending(machine: Machine, events: number): boolean {
  if (events & (EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI)) return false;
  return (events & PENDING_DEBUG) !== 0 || machine.nmi.deliverableWith(events);
}

/** Takes what comes first at this boundary; false if the next instruction does. */
export function takePending(machine: Machine): boolean {
  const events = machine.u32[EVENTS]!;
  if (events & (EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI)) return false;
  if (machine.nmi.deliverableWith(events)) {
    machine.nmi.deliver(machine);
    return true;
  }
  return false;
}
