import type { Property } from './property.js';

/** Seen by the search, not by a hook: without a further event a state comes back. */
export const progress: Property = {
  name: 'progress',
  sentence: 'there is no endless loop: no state repeats without a further event',
  ends: true,
  ended: (m) => m.haltedInHandler,
  explain: (m) =>
    m.tooDeep
      ? 'deliveries go on within each other, and none returns: an endless recursion'
      : m.haltedInHandler
        ? 'the processor halts inside a handler and nothing is pending that would wake it'
        : 'the same state comes back without any further event: the loop never ends',
};
