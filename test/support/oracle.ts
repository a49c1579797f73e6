/**
 * An independent answer to what a search should find: every schedule within a bound, each run from the start by itself,
 * nothing merged, and the windows by their definition. Slow, and simple enough to be believed.
 */

import assert from 'node:assert/strict';
import { type Bound, kindsOf, type Place, type Places, parsePlaces } from '../../src/explore/bound.js';
import type { SearchResult } from '../../src/explore/result.js';
import { ScheduleGraph } from '../../src/explore/schedule_graph.js';
import { Run } from '../../src/hooks/run.js';
import { onAccess } from '../../src/hooks/triggers.js';
import { machineFor } from '../../src/platforms/boot.js';
import type { Subject } from '../../src/platforms/subject.js';
import { chooseProfile, type Profile } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import type { Property } from '../../src/properties/property.js';
import { boundOf, explore, type Setting, subjectOf } from './search.js';

/** An event, and after how many transitions of the run it is fired. */
interface Fired {
  readonly after: number;
  readonly event: string;
  readonly rip: bigint;
}

export interface OracleResult {
  /** `property event boundary`, each with the number of events of its shortest schedule. */
  readonly windows: ReadonlyMap<string, number>;
  /** `event boundary -> property event boundary`: an event that a schedule of a window has before its last one. */
  readonly earlier: ReadonlySet<string>;
  readonly schedules: number;
}

function allows(place: Place, run: Run): boolean {
  if (place.at === 'access') return onAccess(place.range, place.access)(run);
  return run.rip >= place.range.start && run.rip < place.range.end;
}

export function everySchedule(
  subject: Subject,
  profile: Profile,
  properties: readonly Property[],
  bound: Bound,
  places: Places,
): OracleResult {
  const machine = machineFor(subject, profile);
  const start = machine.snapshot();
  const windows = new Map<string, number>();
  const earlier = new Set<string>();
  let schedules = 0;

  const visit = (schedule: readonly Fired[], brokenBefore: number): void => {
    schedules++;
    machine.restore(start);
    const run = new Run(subject, profile, properties, machine);
    const from = (schedule.at(-1)?.after ?? -1) + 1;
    const next: Fired[] = [];
    const fork = (): void => {
      if (run.transitions < from || run.monitor.over) return;
      for (const event of kindsOf(bound)) {
        if (schedule.filter((f) => f.event === event).length >= (bound[event] ?? 0)) continue;
        if (!machine.may(event) || !(places[event]?.some((place) => allows(place, run)) ?? true)) continue;
        // Each state is seen once for the step from it; an observer is called again only after a transition.
        next.push({ after: run.transitions, event, rip: run.rip });
      }
    };
    run.observe({ before: fork });
    run.follow(
      schedule.map(({ after, event }) => ({
        event,
        where: `transition ${after}`,
        trigger: () => run.transitions === after,
      })),
    );
    // A processor that has halted can still be woken.
    if (run.ending === 'end') fork();
    const broken = run.monitor.failed & ~brokenBefore;
    const last = schedule.at(-1);
    properties.forEach((property, i) => {
      if (!(broken & (1 << i))) return;
      const key = `${property.name} ${last?.event ?? 'none'} ${last ? subject.image.name(last.rip) : ''}`;
      for (const { event, rip } of schedule.slice(0, -1)) earlier.add(`${event} ${subject.image.name(rip)} -> ${key}`);
      windows.set(key, Math.min(windows.get(key) ?? Number.POSITIVE_INFINITY, schedule.length));
    });
    for (const fired of next) visit([...schedule, fired], run.monitor.failed);
  };

  visit([], 0);
  return { windows, earlier, schedules };
}

/**
 * Asserts that a search finds what every schedule by itself finds, with live words and with all words kept; and that its graph
 * tells just the earlier events that they have. Fewer than `least` schedules would say nothing.
 */
export function agreesWithOracle(images: string | readonly string[], setting: Setting, least = 10): void {
  const subject = subjectOf(images, setting);
  const { profile } = chooseProfile(setting.profile ?? 'intel', setting.knobs);
  const bound = boundOf(setting);
  const places = parsePlaces(setting.at ?? [], subject.image, subject.platform, bound);
  const expected = everySchedule(subject, profile, PROPERTIES, bound, places);
  assert.ok(expected.schedules > least, `${expected.schedules} schedules`);
  for (const exact of [false, true]) {
    const { result } = explore(images, { ...setting, exact, wantSchedules: true });
    assert.equal(result.stopped, undefined);
    const found = result.failures.map((f) => [
      `${f.property} ${f.event} ${f.event === 'none' ? '' : f.boundary}`,
      f.path.length,
    ]);
    assert.deepEqual(found.sort(), [...expected.windows].sort(), exact ? 'exact' : 'live words');
    assert.deepEqual(earlierEvents(subject, result), [...expected.earlier].sort(), exact ? 'exact' : 'live words');
  }
}

/** For each window the events that its schedules have before the last one, as the oracle has them. */
function earlierEvents({ image }: Subject, { failures, schedules }: SearchResult): string[] {
  const graph = new ScheduleGraph(schedules!, schedules!.graph!);
  const lines = failures.flatMap(({ property, event, boundary, address }) =>
    graph
      .earlier({ property, event, address })
      .map((e) => `${e.event} ${image.name(e.address)} -> ${property} ${event} ${boundary}`),
  );
  return lines.sort();
}
