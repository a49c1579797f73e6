import type { Property } from './property.js';

/** Seen by the monitor, which ends the path there: a host that enters has to know what VM entries check (SDM vol. 3, chapter 26). */
export const vmEntry: Property = {
  name: 'vm-entry',
  sentence: 'no VM entry fails',
  ends: true,
  explain: (m) => `the VM entry fails: ${m.machine.happened.failedCheck}`,
};
