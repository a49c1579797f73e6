import { Flag, Reg } from '../cpu/registers.js';
import { EventState } from '../harness/event_state.js';
import { End, type Monitor, Word } from './monitor.js';
import type { Property } from './property.js';

/**
 * HLT with the reason to wake up already gone by: the software's own note of work, or an interrupt that stays masked. The
 * same for user mode, which runs on for as long as it likes: what is to be done before it goes on, and was not; or an
 * interrupt that it holds back, with an RFLAGS.IF that it should not have been given.
 */
export const sleep: Property = {
  name: 'sleep',
  sentence: 'the processor neither halts with work pending nor stays in user mode with work that comes first',
  ends: false,
  ended: (m) =>
    (halted(m) && (m.workPending() !== undefined || interruptWaits(m))) ||
    userWorkPending(m) !== undefined ||
    userHoldsBack(m),
  explain: (m) => {
    const first = userWorkPending(m);
    if (first !== undefined)
      return `user mode goes on although ${first} is set, and nothing is pending that would interrupt it`;
    if (userHoldsBack(m)) return 'user mode goes on with interrupts off, and one is pending';
    return m.workPending() !== undefined
      ? `the processor halts although ${m.workPending()} is set, and nothing is pending that would wake it`
      : 'the processor halts with an interrupt pending that cannot be delivered: nothing will wake it';
  },
};

function halted(m: Monitor): boolean {
  return m.words[Word.END] === End.HALT && !m.stopped;
}

function interruptWaits(m: Monitor): boolean {
  return (m.machine.u32[2 * Reg.EVENTS]! & EventState.INTR_PENDING) !== 0;
}

/** The path ends in user mode. */
function inUserMode(m: Monitor): boolean {
  return (m.machine.u32[2 * Reg.CS]! & 3) === 3 && m.words[Word.END] === End.CONTEXT;
}

function userWorkPending(m: Monitor): string | undefined {
  return inUserMode(m) ? m.workPending(m.subject.platform.workBeforeUser) : undefined;
}

function userHoldsBack(m: Monitor): boolean {
  return inUserMode(m) && interruptWaits(m) && (m.machine.u32[2 * Reg.RFLAGS]! & Flag.IF) === 0;
}
