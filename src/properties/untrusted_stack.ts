import { Reg } from '../cpu/registers.js';
import { hex } from './describe.js';
import { Word } from './monitor.js';
import type { Property } from './property.js';

/** A delivery from ring 0 without a stack switch pushes at RSP, whoever chose it. */
export const untrustedStack: Property = {
  name: 'untrusted-stack',
  sentence: 'no frame of an event that interrupts ring 0 is pushed to memory that user mode controls',
  ends: false,
  delivered: (m) => {
    const { happened, registersBefore } = m.machine;
    if ((registersBefore[2 * Reg.CS]! & 3) !== 0) return false;
    if (happened.ist === 0 && m.words[Word.USER_RSP] !== 0) return true;
    return m.stackBelow(happened.stackTopHigh, happened.stackTopLow)?.user === true;
  },
  explain: (m) => {
    const { happened } = m.machine;
    const top = (BigInt(happened.stackTopHigh) << 32n) | BigInt(happened.stackTopLow);
    return `vector ${happened.vector} pushed its frame below ${hex(top)}, an RSP that user mode has chosen`;
  },
};
