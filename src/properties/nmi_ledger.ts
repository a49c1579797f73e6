import { Kind, RecordWord, Word } from './monitor.js';
import type { Property } from './property.js';

/** NMIs that arrive while one is pending collapse into it in hardware: that is legal. */
export const nmiLedger: Property = {
  name: 'nmi-ledger',
  sentence: 'each NMI that the processor has accepted is served by a body that starts after it',
  ends: false,
  returned: (m, record) =>
    record >= 0 && m.records[record + RecordWord.KIND] === Kind.CONTEXT && m.words[Word.NMI_OWED] !== 0,
  ended: (m) => m.words[Word.NMI_OWED] !== 0 || (m.machine.nmi.pending && !m.stopped),
  explain: (m) =>
    m.words[Word.NMI_OWED] !== 0
      ? 'an NMI was delivered, and the interrupted code goes on without a body having started since'
      : 'an NMI is still pending when the path ends: NMIs have stayed blocked',
};
