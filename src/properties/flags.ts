import { Flag, Reg } from '../cpu/registers.js';
import type { Property } from './property.js';

const UNCLEAN: readonly (readonly [string, number])[] = [
  ['DF', Flag.DF],
  ['AC', Flag.AC],
  ['NT', Flag.NT],
  ['TF', Flag.TF],
];
const MASK = Flag.DF | Flag.AC | Flag.NT | Flag.TF;

export const flags: Property = {
  name: 'flags',
  sentence: 'DF, AC, NT and TF are clear when the C part is entered',
  ends: false,
  enteredC: (m) => (m.machine.u32[2 * Reg.RFLAGS]! & MASK) !== 0,
  explain: (m) => {
    const set = UNCLEAN.filter(([, bit]) => m.machine.u32[2 * Reg.RFLAGS]! & bit).map(([name]) => name);
    return `${set.join(', ')} ${set.length === 1 ? 'is' : 'are'} set at the entry of the C part`;
  },
};
