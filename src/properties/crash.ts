import { Given, type Monitor, Word } from './monitor.js';
import type { Property } from './property.js';

/** Where a platform says how its software crashes: see CrashPath. */
export const crash: Property = {
  name: 'crash',
  sentence:
    'of the processors of a crash one, and only one, enters the other kernel, and each has complete notes when it stops or that happens',
  ends: false,
  gaveUp: (m) => m.notesIncomplete || takenOverTwice(m),
  ended: nobodyLeft,
  explain: (m) => {
    if (nobodyLeft(m)) return 'all processors have stopped for good, and none has entered the other kernel';
    if (takenOverTwice(m)) return 'a second processor enters the other kernel';
    return m.words[Word.GIVEN_UP] === Given.TAKEN_OVER
      ? 'another kernel takes over, and the notes of a processor are not complete'
      : 'the processor stops for good, and its notes are not complete';
  },
};

function takenOverTwice(m: Monitor): boolean {
  return m.givenUp(Given.TAKEN_OVER) > 1;
}

/** With one processor, the one that crashes is not part of the picture. */
function nobodyLeft(m: Monitor): boolean {
  const { count } = m.machine.processors;
  return count > 1 && m.givenUp(Given.STOPPED) === count;
}
