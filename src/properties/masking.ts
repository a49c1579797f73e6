import { Flag, Reg } from '../cpu/registers.js';
import type { Monitor } from './monitor.js';
import type { Property } from './property.js';

/**
 * How long NMIs may stay blocked is bounded where code runs to its IRET and nowhere waits. Unbounded is what happens once
 * maskable interrupts are let in, or the C code that may sleep is entered. (An endless loop breaks `progress`.)
 */
export const masking: Property = {
  name: 'masking',
  sentence:
    'NMIs are not blocked without bound: not while interrupts are enabled in ring 0, nor in code that may sleep',
  ends: false,
  executedMicrocode: (m) => m.machine.nmi.blocked && enabled(m.machine.u32) && !interruptedAgain(m),
  enteredSleeper: (m) => m.machine.nmi.blocked,
  explain: (m) =>
    enabled(m.machine.u32)
      ? 'NMIs are blocked while interrupts are enabled: whatever they do comes before the IRET that unblocks NMIs'
      : 'NMIs are blocked when a function that may sleep is entered',
};

/** The interrupted code goes on with NMIs blocked: that is for `nmi-latch` to say. */
function interruptedAgain(m: Monitor): boolean {
  return m.isContext(m.machine.u32[2 * Reg.RIP + 1]!, m.machine.u32[2 * Reg.RIP]!);
}

/** Interrupts are enabled in ring 0. */
function enabled(u32: Uint32Array): boolean {
  return (u32[2 * Reg.RFLAGS]! & Flag.IF) !== 0 && (u32[2 * Reg.CS]! & 3) === 0;
}
