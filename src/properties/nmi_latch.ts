import { fredEnabled } from '../harness/fred.js';
import { Return } from '../harness/machine.js';
import { Kind, RecordWord } from './monitor.js';
import type { Property } from './property.js';

export const nmiLatch: Property = {
  name: 'nmi-latch',
  sentence: 'NMIs are not left blocked when interrupted code goes on, at SYSRET or SYSEXIT, or at HLT',
  ends: false,
  returned: (m, record) => {
    if (!m.machine.nmi.blocked) return false;
    const { returned } = m.machine.happened;
    if (returned === Return.SYSRET || returned === Return.SYSEXIT) return true;
    return (
      record >= 0 && m.records[record + RecordWord.KIND] === Kind.CONTEXT && m.records[record + RecordWord.LATCH] === 0
    );
  },
  ended: (m) => m.machine.nmi.blocked && !m.stopped,
  explain: (m) =>
    fredEnabled(m.machine)
      ? 'NMIs are blocked, and no ERETU or ERETS of the handler is left to unblock them'
      : 'NMIs are blocked, and no IRET of the handler is left to unblock them',
};
