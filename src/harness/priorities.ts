/**
 * What the processor takes at an instruction boundary before the next instruction, and in which order
 * (SDM vol. 3, 6.9, table 6-2): #MC (which waits only if another processor broadcast it), SMI and INIT, traps of the previous
 * instruction, NMI, maskable interrupts.
 */
import { Flag, Reg } from '../cpu/registers.js';
import { debugTrapDeliverable, takeDebugTrap } from './debug.js';
import { deliver, Origin } from './delivery.js';
import { EventState, SHADOWS } from './event_state.js';
import { initDeliverable, takeInit } from './init.js';
import type { Machine } from './machine.js';
import { takeMachineCheck } from './machine_check.js';
import { enterSmm, smiDeliverable } from './smm.js';
import { exitByInterrupt, exitByWindow, takeInitInVmx } from './vm_exit.js';
import { interruptExits, openWindow } from './vmx.js';

const EVENTS = 2 * Reg.EVENTS;

/** Whether something is taken before the next instruction at this boundary, for a machine with these EVENTS bits. */
export function takesPending(machine: Machine, events: number): boolean {
  if (events & (EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI)) return false;
  return (
    (events & EventState.MC_PENDING) !== 0 ||
    smiDeliverable(machine, events) ||
    initDeliverable(events) ||
    debugTrapDeliverable(events) ||
    machine.nmi.deliverableWith(events) ||
    openWindow(machine, events) >= 0 ||
    interruptDeliverable(machine, events)
  );
}

/**
 * Whether the processor, with these EVENTS bits, takes a maskable interrupt at the boundary at which it stands: RFLAGS.IF is
 * set, no shadow holds it back (SDM vol. 3, 6.8.1 and 6.8.3), and its local APIC or the INTR pin has one for it.
 */
export function interruptDeliverable(
  machine: Machine,
  events: number,
  processor = machine.processors.running,
): boolean {
  if (!(events & EventState.INTR_PENDING) || events & SHADOWS) return false;
  const enabled = (machine.u32[machine.processors.place(processor, Reg.RFLAGS)]! & Flag.IF) !== 0;
  if (!enabled && !interruptExits(events)) return false;
  return machine.apics[processor]!.asserted;
}

/** Takes what comes first at this boundary; false if the next instruction does. */
export function takePending(machine: Machine): boolean {
  const events = machine.u32[EVENTS]!;
  if (events & (EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI)) return false;
  if (events & EventState.MC_PENDING) {
    takeMachineCheck(machine);
    return true;
  }
  if (smiDeliverable(machine, events)) {
    enterSmm(machine);
    return true;
  }
  if (initDeliverable(events)) {
    if (events & EventState.VMX_ROOT) takeInitInVmx(machine);
    else takeInit(machine);
    return true;
  }
  if (debugTrapDeliverable(events)) {
    takeDebugTrap(machine);
    return true;
  }
  if (machine.nmi.deliverableWith(events)) {
    machine.nmi.deliver(machine);
    return true;
  }
  const window = openWindow(machine, events);
  if (window >= 0) {
    exitByWindow(machine, window);
    return true;
  }
  if (interruptDeliverable(machine, events)) {
    if (interruptExits(events)) exitByInterrupt(machine);
    else deliver(machine, machine.apic!.acknowledge(), Origin.INTERRUPT, undefined);
    return true;
  }
  return false;
}
