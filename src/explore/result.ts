/** What a search is asked, and what it answers. */
import { type Bound, kindsOf, type Places } from './bound.js';
import type { ScheduleRecord } from './schedule_recorder.js';

/** One event of a schedule: fired when execution stands at `boundary` for the `hit`-th time (counted from 1). */
export interface ScheduledEvent {
  readonly boundary: string;
  readonly address: bigint;
  readonly hit: number;
  /** Its name: `nmi`, `intr:0x20`. */
  readonly event: string;
}

/** A window: the last event of a minimal schedule, and what it breaks. */
export interface Failure {
  readonly property: string;
  /** Where the last event fires; for a failure without events, where the context begins. */
  readonly boundary: string;
  readonly address: bigint;
  /** Its name, or `none` for a failure without events. */
  readonly event: string;
  /** Transitions before the last event of `path`. */
  readonly instructions: number;
  /** The shortest schedule of all that end here: fewest events, then fewest instructions up to the last one. */
  readonly path: readonly ScheduledEvent[];
}

export interface SearchResult {
  readonly verdict: 'holds' | 'fails' | 'open';
  readonly states: number;
  readonly transitions: number;
  readonly seconds: number;
  /** Seconds of the last round alone: the one whose states and transitions are given. */
  readonly lastRoundSeconds: number;
  readonly failures: readonly Failure[];
  /** Why the search stopped before it closed the bound. */
  readonly stopped: string | undefined;
  /** For a stopped search: the bound up to which everything was explored, and how far the next one came. */
  readonly covered: Covered | undefined;
  /** Bytes of the visited set for each state in it. */
  readonly bytesPerState: number;
  /** The kinds of events that have been fired at least once. */
  readonly fired: readonly string[];
  /** Where the software stops itself on some path, if that is not among what is checked. */
  readonly panicked?: string;
  /** All instructions that were executed, or looked at; if it was asked for. */
  readonly code?: readonly { readonly address: bigint; readonly length: number }[];
  /** Everything that was fired; if it was asked for. */
  readonly schedules?: ScheduleRecord;
  /** How often the search was run until the table of live words did not grow. */
  readonly rounds: number;
}

/** What a search that was stopped has seen. */
export interface Covered {
  /** Closed completely; undefined: not even one event of a kind. */
  readonly closed: Bound | undefined;
  /** What it was exploring. */
  readonly bound: Bound;
  /** Boundaries of the context at which the first event has been fired and everything after it explored. */
  readonly first: number;
  /** All boundaries of the context. */
  readonly of: number;
}

export interface Progress {
  readonly states: number;
  readonly transitions: number;
  readonly failures: number;
  /** Share of the outermost fork points that are done, 0 to 1; undefined while it is not known. */
  readonly done: number | undefined;
  /** The bound that is being explored: small ones come first. */
  readonly bound: Bound;
}

export interface SearchOptions {
  readonly bound: Bound;
  readonly places: Places;
  readonly maxStates?: number;
  /** Bytes that the visited set may take. */
  readonly maxMemory?: number;
  /** Keep every memory word in the state, dead or not: slower, for checking the reduction. */
  readonly exact?: boolean;
  /** One failure is enough: a smaller bound that has one is not followed by a larger one. */
  readonly untilFailure?: boolean;
  /** Keep what is needed to tell all schedules that end at a place (in one thread only). */
  readonly wantSchedules?: boolean;
  /** Asked every few thousand transitions; a text stops the search and says why. */
  readonly shouldStop?: () => string | undefined;
  readonly onProgress?: (progress: Progress) => void;
  /** Search only the outermost fork points whose number is `index` modulo `count`. */
  readonly part?: { readonly index: number; readonly count: number };
}

/** A verdict about events that were never fired, or about paths that end in a panic, would say too little: such a search is open. */
export function withoutVacuity(result: SearchResult, bound: Bound): SearchResult {
  if (result.verdict !== 'holds') return result;
  if (result.panicked !== undefined) {
    return { ...result, verdict: 'open', stopped: unchecked(result.panicked) };
  }
  const never = kindsOf(bound).filter((kind) => bound[kind]! > 0 && !result.fired.includes(kind));
  if (never.length === 0) return result;
  const stopped = `${never.join(' and ')} could never be fired: no path reaches a place where ${never.length === 1 ? 'it' : 'they'} may fire; leave it out of --events, or name another place with --at`;
  return { ...result, verdict: 'open', stopped };
}

/** Why a search is open that comes to a panic, named so, and does not check for it. */
export function unchecked(panic: string): string {
  return `${panic} is reached, and nothing is known about what follows; check the property panic too`;
}

/** What decides which of two schedules is the shorter one. */
interface Scheduled {
  readonly path: readonly unknown[];
  readonly instructions: number;
}

/** Whether `a` has the shorter schedule: fewer events, then fewer instructions up to the last one. */
export function isShorter(a: Scheduled, b: Scheduled): boolean {
  return a.path.length < b.path.length || (a.path.length === b.path.length && a.instructions < b.instructions);
}

export function byAddress(a: Failure, b: Failure): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0;
}
