/**
 * INIT (SDM vol. 3, 8.4.3 and 9.1): a processor that is not the bootstrap processor waits for a start-up message; until then it runs
 * nothing, so the registers that INIT resets are left as they are. In SMM it is held back. The bootstrap processor would
 * begin anew in real mode, which is not modelled.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import { EventState } from './event_state.js';
import { ApicBase } from './local_apic.js';
import type { Machine } from './machine.js';

const EVENTS = 2 * Reg.EVENTS;

export function initDeliverable(events: number): boolean {
  return (events & EventState.INIT_PENDING) !== 0 && !(events & EventState.SMM);
}

export function takeInit(machine: Machine): void {
  const { u32 } = machine;
  if (u32[2 * Reg.APIC_BASE]! & ApicBase.BSP) {
    throw new NotModelled(
      machine.cpu.regs.u64[Reg.RIP]!,
      'is interrupted by an INIT of the bootstrap processor, which would begin anew in real mode',
    );
  }
  u32[EVENTS] = (u32[EVENTS]! & EventState.INTR_PENDING) | EventState.WAIT_FOR_SIPI;
  machine.changed();
}
