/** Runs one schedule again, strictly, and reports what it breaks. */
import type { ScheduledEvent } from '../explore/result.js';
import { Run } from '../hooks/run.js';
import { addressOf, atHit } from '../hooks/triggers.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import { counterexample, type Paint } from './text.js';
import { Trace } from './trace.js';

/** The schedule's run, with everything that it did: to its end, or until `property` is broken. */
export function traceOf(
  subject: Subject,
  profile: Profile,
  path: readonly { readonly boundary: string; readonly hit: number; readonly event: string }[],
  property?: string,
): Trace {
  const run = new Run(subject, profile, PROPERTIES);
  const trace = new Trace(run);
  run.follow(
    path.map((e) => ({
      event: e.event,
      trigger: atHit(addressOf(subject.image, e.boundary), e.hit),
      where: `${e.boundary}${e.hit > 1 ? ` (time ${e.hit})` : ''}`,
    })),
    () => property !== undefined && trace.broken.some((b) => b.property === property),
  );
  return trace;
}

/** The text for one schedule and the property that it breaks. */
export function reportPath(
  subject: Subject,
  profile: Profile,
  property: string,
  path: readonly ScheduledEvent[],
  paint: Paint,
): string {
  const trace = traceOf(subject, profile, path, property);
  const broken = trace.broken.find((b) => b.property === property);
  if (!broken) throw new Error(`the schedule that breaks ${property} does not break it when it is run again`);
  return counterexample(trace, broken, path, paint);
}
