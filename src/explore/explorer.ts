/**
 * The search: rounds over growing bounds, until the whole of what was asked for has been explored with a table of live
 * words that no longer changes.
 */
import type { Machine } from '../harness/machine.js';
import { Run } from '../hooks/run.js';
import { atHit } from '../hooks/triggers.js';
import type { Subject } from '../platforms/subject.js';
import type { Property } from '../properties/property.js';
import { type Bound, printBound } from './bound.js';
import { LiveWords, MasksFull } from './live_words.js';
import { type Failure, type SearchOptions, type SearchResult, withoutVacuity } from './result.js';
import { MAX_CHAIN, RareRegisters, Round } from './round.js';

/** Explores everything that the bound allows from the machine's current state. */
export function search(
  machine: Machine,
  subject: Subject,
  properties: readonly Property[],
  options: SearchOptions,
): SearchResult {
  const start = machine.snapshot();
  const began = performance.now();
  let live = new LiveWords(machine.memory.words, options.exact ?? false);
  const most = Math.max(0, ...Object.values(options.bound));
  let rounds = 0;
  // The next round visits at least about as many states as the one before: its tables need not grow to that again.
  let slots: readonly number[] = [];
  let closed: Bound | undefined;
  // Small bounds teach the table nearly all there is to know, at next to no cost; only the full bound counts.
  for (let limit = Math.min(1, most); ; ) {
    const bound: Bound = Object.fromEntries(
      Object.entries(options.bound).map(([kind, count]) => [kind, Math.min(count, limit)]),
    );
    machine.restore(start);
    live.grown = false;
    rounds++;
    const roundBegan = performance.now();
    let result: ReturnType<Round['run']>;
    try {
      result = new Round(machine, subject, properties, { ...options, bound }, live, machine.rareChanged, slots).run();
    } catch (error) {
      if (error instanceof RareRegisters) continue;
      const wider = error instanceof MasksFull ? live.widened() : undefined;
      if (!wider) throw error;
      live = wider;
      slots = [];
      limit = Math.min(1, most);
      continue;
    }
    const full = limit >= most;
    if (options.untilFailure && !full && result.stopped === undefined && result.failures.length > 0) {
      result = { ...result, stopped: `one failure is enough: found with ${printBound(bound)}` };
    }
    // A stopped search ends here whatever the table has learnt.
    if (result.stopped !== undefined || (full && !live.grown)) {
      machine.restore(start);
      const now = performance.now();
      const { slots: _, first, forks, ...rest } = result;
      if (result.stopped !== undefined) {
        // An unfinished round may have merged states that it would have told apart later: only what a run confirms counts.
        const wasAsked = options.shouldStop?.() !== undefined;
        const stopNow = (): boolean => !wasAsked && options.shouldStop?.() !== undefined;
        const failures = rest.failures.filter((failure) => {
          if (stopNow()) return false;
          machine.restore(start);
          return breaks(machine, subject, properties, failure, stopNow);
        });
        machine.restore(start);
        rest.failures = failures;
        rest.verdict = failures.length > 0 ? 'fails' : 'open';
      }
      const covered = result.stopped === undefined ? undefined : { closed, bound, first, of: forks };
      const whole = {
        ...rest,
        covered,
        seconds: (now - began) / 1000,
        lastRoundSeconds: (now - roundBegan) / 1000,
        rounds,
      };
      // One part of several may well be without events.
      return options.part === undefined || options.part.count === 1 ? withoutVacuity(whole, options.bound) : whole;
    }
    slots = result.slots;
    if (!live.grown) {
      closed = bound;
      limit++;
    }
  }
}

/** Transitions after the last event in which a failure shows: the search follows no chain for longer. */
const SHOWS_WITHIN = 4 * MAX_CHAIN;
const CHECK_EVERY = 4096;

/** Whether the failure's schedule, run strictly, breaks its property; not known, hence false, if `stopNow` says so. */
function breaks(
  machine: Machine,
  subject: Subject,
  properties: readonly Property[],
  failure: Failure,
  stopNow: () => boolean,
): boolean {
  const run = new Run(subject, machine.profile, properties, machine);
  const bit = 1 << properties.findIndex((p) => p.name === failure.property);
  const broken = (): boolean => (run.monitor.failed & bit) !== 0;
  const schedule = failure.path.map((e) => ({ event: e.event, trigger: atHit(e.address, e.hit), where: e.boundary }));
  const last = failure.instructions + SHOWS_WITHIN;
  run.follow(schedule, () => broken() || run.transitions > last || (run.transitions % CHECK_EVERY === 0 && stopNow()));
  return broken();
}
