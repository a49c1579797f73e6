import { hex } from './describe.js';
import { vectorsOf } from './guest_ledger_words.js';
import { Word } from './monitor.js';
import type { Property } from './property.js';

/** The monitor breaks it, too, when a host injects an interrupt that it has not taken. */
export const guestLedger: Property = {
  name: 'guest-ledger',
  sentence:
    'each interrupt that a host takes for its guest, and each whose delivery in the guest is interrupted, is injected once',
  ends: false,
  ended: (m) => m.words[Word.GUEST_OWED] !== 0,
  explain: (m) => {
    const owed = vectorsOf(m.words[Word.GUEST_OWED]!);
    if (m.machine.happened.vmEntry)
      return 'the host injects an interrupt that it has not taken, or has injected already';
    return `vector ${owed.map((vector) => hex(BigInt(vector))).join(', ')} is never injected`;
  },
};
