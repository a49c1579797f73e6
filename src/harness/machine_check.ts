/**
 * The machine check, #MC (SDM vol. 3, 6.15 "Interrupt 18" and chapter 15): delivered at any boundary, whatever IF, the NMI
 * latch and the shadows say. The processor sets IA32_MCG_STATUS.MCIP with it; another one while MCIP is set, or one
 * with CR4.MCE clear, shuts the processor down.
 */
import { Vector } from '../cpu/cpu.js';
import { Reg } from '../cpu/registers.js';
import { deliver, Origin } from './delivery.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';

const CR4_MCE = 1 << 6;

/** A machine check arrives at this boundary. */
export function machineCheck(machine: Machine): void {
  const { u32 } = machine;
  const events = u32[2 * Reg.EVENTS]!;
  if (!(u32[2 * Reg.CR4]! & CR4_MCE) || events & EventState.MCIP) {
    machine.shutDown();
    return;
  }
  // The interrupted instruction has not begun: the saved RIP is where to go on.
  u32[2 * Reg.EVENTS] = events | EventState.MCIP | EventState.RIPV;
  deliver(machine, Vector.MC, Origin.EXTERNAL, undefined);
}
