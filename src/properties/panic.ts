import type { Property } from './property.js';

/**
 * Seen by the monitor, which ends the path there whether or not this is checked: a system that has stopped itself gives
 * nothing back, and owes nothing.
 */
export const panic: Property = {
  name: 'panic',
  sentence: 'the software does not stop itself',
  ends: true,
  explain: (m) => `${m.panicked} is reached: the software has found something wrong that it cannot mend`,
};
