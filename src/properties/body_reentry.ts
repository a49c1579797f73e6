import type { Property } from './property.js';

export const bodyReentry: Property = {
  name: 'body-reentry',
  sentence: 'the body is not entered while it is already running on this CPU',
  ends: false,
  enteredBody: (m) => m.bodiesBelowLast() > 0,
  explain: (m) =>
    `${m.names.body ?? 'the body'} is entered while ${m.bodiesBelowLast()} earlier call${m.bodiesBelowLast() === 1 ? '' : 's'} of it has not returned`,
};
