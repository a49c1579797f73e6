import { Kind, RecordWord } from './monitor.js';
import type { Property } from './property.js';

export const balance: Property = {
  name: 'balance',
  sentence: 'counters of nesting and the IST slots are back at their values when the interrupted code goes on',
  ends: false,
  returned: (m, record) =>
    record >= 0 && m.records[record + RecordWord.KIND] === Kind.CONTEXT && !m.sameBalance(record),
  explain: (m) =>
    `one of ${[...m.subject.platform.balanced, 'the IST slots of the TSS'].join(', ')} differs from what it was at the delivery`,
};
