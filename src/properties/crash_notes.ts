import { Given, Word } from './monitor.js';
import type { Property } from './property.js';

export const crashNotes: Property = {
  name: 'crash-notes',
  sentence:
    'a processor that stops for good has complete crash notes, and when another kernel takes over those of all are complete',
  ends: false,
  gaveUp: (m) => m.notesIncomplete,
  explain: (m) =>
    m.words[Word.GIVEN_UP] === Given.TAKEN_OVER
      ? 'another kernel takes over, and the notes of a processor are not complete'
      : 'the processor stops for good, and its notes are not complete',
};
