import { Vector } from '../cpu/cpu.js';
import type { Property } from './property.js';

/** The monitor also breaks it when the processor shuts down. */
export const shutdown: Property = {
  name: 'shutdown',
  sentence: 'there is no double fault and no shutdown',
  ends: true,
  delivered: (m) => m.machine.happened.vector === Vector.DF,
  explain: (m) =>
    m.machine.happened.shutdown
      ? `${m.machine.happened.shutdownBecause}: the processor shuts down`
      : `#DF was delivered in place of vector ${m.machine.happened.requestedVector}`,
};
