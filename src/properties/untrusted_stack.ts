import { Perm } from '../cpu/memory.js';
import { Reg } from '../cpu/registers.js';
import { hex } from './describe.js';
import { type Monitor, Word } from './monitor.js';
import type { Property } from './property.js';

/** Whether a frame below high:low lies in a page of user mode's, on one of the platform's stacks or anywhere else. */
function inUserMemory({ machine }: Monitor, high: number, low: number): boolean {
  const { memory } = machine;
  const borrow = low < 8 ? 1 : 0;
  return memory.translate((high - borrow) >>> 0, (low - 8) >>> 0) >= 0 && (memory.perms & Perm.USER) !== 0;
}

/** A delivery from ring 0 without a stack switch pushes at RSP, whoever chose it. */
export const untrustedStack: Property = {
  name: 'untrusted-stack',
  sentence: 'no frame of an event that interrupts ring 0 is pushed to memory that user mode controls',
  ends: false,
  delivered: (m) => {
    const { happened, registersBefore } = m.machine;
    if ((registersBefore[2 * Reg.CS]! & 3) !== 0) return false;
    if (happened.ist === 0 && m.words[Word.USER_RSP] !== 0) return true;
    return inUserMemory(m, happened.stackTopHigh, happened.stackTopLow);
  },
  explain: (m) => {
    const { happened } = m.machine;
    const top = (BigInt(happened.stackTopHigh) << 32n) | BigInt(happened.stackTopLow);
    return `vector ${happened.vector} pushed its frame below ${hex(top)}, an RSP that user mode has chosen`;
  },
};
