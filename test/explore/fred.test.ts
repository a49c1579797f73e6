/** A FRED handler in searches: it holds where no handler with an IDT can; and mutants of it, which do not. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseBound, parsePlaces } from '../../src/explore/bound.js';
import { search } from '../../src/explore/explorer.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { type Changes, chooseProfile } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { everySchedule } from '../support/oracle.js';
import { explore, mutant, runOf, source, subjectOf, verdict, type Windows, windowsOf } from '../support/search.js';

const FRED = 'linux_nmi_fred.S';
const HOLDS = { verdict: 'holds' };
const profile = 'fred';

/** The windows of a search under the profile fred with changed knobs. */
function windowsWith(changes: Changes, image: string, context: string, events: string): Windows {
  const subject = subjectOf(image, { context });
  const bound = parseBound(events);
  const machine = machineFor(subject, chooseProfile('fred', changes).profile);
  const result = search(machine, subject, PROPERTIES, { bound, places: parsePlaces([], subject.image, LINUX, bound) });
  assert.equal(result.stopped, undefined);
  return windowsOf(result.failures);
}
