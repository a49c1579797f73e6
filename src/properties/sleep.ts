import { Reg } from '../cpu/registers.js';
import { EventState } from '../harness/event_state.js';
import { End, type Monitor, Word } from './monitor.js';
import type { Property } from './property.js';

/** HLT with the reason to wake up already gone by: the software's own note of work, or an interrupt that stays masked. */
export const sleep: Property = {
  name: 'sleep',
  sentence: 'the processor does not halt with work pending',
  ends: false,
  ended: (m) => m.words[Word.END] === End.HALT && !m.stopped && (m.workPending !== undefined || interruptWaits(m)),
  explain: (m) =>
    m.workPending !== undefined
      ? `the processor halts although ${m.workPending} is set, and nothing is pending that would wake it`
      : 'the processor halts with an interrupt pending that cannot be delivered: nothing will wake it',
};

function interruptWaits(m: Monitor): boolean {
  return (m.machine.u32[2 * Reg.EVENTS]! & EventState.INTR_PENDING) !== 0;
}
