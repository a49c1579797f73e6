import { Kind, RecordWord, Word } from './monitor.js';
import type { Property } from './property.js';

/** Nothing raises it again, and IA32_MCG_STATUS.MCIP stays set: the next one shuts the processor down. */
export const mcLedger: Property = {
  name: 'mc-ledger',
  sentence: 'a machine check whose delivery faults is not passed over',
  ends: false,
  returned: (m, record) =>
    record >= 0 && m.records[record + RecordWord.KIND] === Kind.CONTEXT && m.words[Word.MC_LOST] !== 0,
  ended: (m) => m.words[Word.MC_LOST] !== 0,
  explain: () =>
    'a fault was delivered in place of a machine check, and the interrupted code goes on: no handler has seen the error',
};
