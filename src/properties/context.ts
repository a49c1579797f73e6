import { differing } from './describe.js';
import { End, Kind, RecordWord, Word } from './monitor.js';
import type { Property } from './property.js';

/** The interrupted code outside the handlers gets back every register, flag, base and live stack word. */
export const context: Property = {
  name: 'context',
  sentence: 'what was interrupted outside the code under test is given back bit for bit',
  comparesRegisters: true,
  ends: true,
  returned: (m, record) =>
    record >= 0 &&
    m.records[record + RecordWord.KIND] === Kind.CONTEXT &&
    (!m.sameRegisters(record) || !m.sameLiveWords(record)),
  explain: (m) => {
    const record = m.closing;
    if (record < 0) {
      if (m.words[Word.END] === End.CONTEXT && m.words[Word.DEPTH] === 0) {
        const names = m.endDifferences().map((d) => d.what);
        return `the interrupted code comes to another end than without events: other ${names.join(', ') || 'words on its stack'}`;
      }
      return 'the interrupted code runs again without a return having given it back';
    }
    const parts: string[] = [];
    if (!m.sameRegisters(record)) parts.push(differing(m, record));
    if (!m.sameLiveWords(record)) parts.push('words of its own stack have changed');
    return parts.join('; ');
  },
};
