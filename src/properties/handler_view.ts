import { differing } from './describe.js';
import { Kind, type Monitor, RecordWord } from './monitor.js';
import type { Property } from './property.js';

/** What a nested event interrupts inside the code under test goes on as if nothing had happened. */
export const handlerView: Property = {
  name: 'handler-view',
  sentence: 'a handler or body that a nested event interrupts finds its registers, flags and pt_regs as they were',
  comparesRegisters: true,
  ends: false,
  returned: (m, record) =>
    record >= 0 &&
    (m.abandons(record) || (isHandler(m, record) && !(m.sameRegisters(record) && m.sameLiveWords(record)))),
  leftC: (m, call) => !m.samePtRegs(call),
  explain: (m) => {
    const record = m.closing;
    if (record < 0) return 'the pt_regs that the C part was given have other contents when it ends';
    if (isHandler(m, record) && !m.sameRegisters(record)) return differing(m, record);
    if (isHandler(m, record) && !m.sameLiveWords(record))
      return 'stack words of the C code that was interrupted have changed';
    return 'control goes back past a handler that was interrupted: it never goes on';
  },
};

function isHandler(m: Monitor, record: number): boolean {
  return m.records[record + RecordWord.KIND] === Kind.HANDLER;
}
