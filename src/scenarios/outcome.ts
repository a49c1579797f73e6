/** How a case went. Plain data: outcomes come from other processes. */
import type { InputError } from '../errors.js';
import type { Failure, SearchResult } from '../explore/result.js';

/** What came out, without regard to what must: this is what a cache keeps. */
export interface Result {
  readonly verdict: SearchResult['verdict'];
  readonly states: number;
  readonly transitions: number;
  /** Of the search itself. */
  readonly seconds: number;
  readonly stopped: string | undefined;
  readonly failures: readonly Failure[];
}

/**
 * How a case went. `met`: exactly what must come out; `unmet`: something else; `open`: the search was stopped, or fired not
 * all that it should; `bad-input`: it could not be run; `crashed` and `hung`: the process that ran it; `skipped`: its image has to be
 * fetched, and is not there.
 */
export type Status = 'met' | 'unmet' | 'open' | 'bad-input' | 'crashed' | 'hung' | 'skipped';

export interface Outcome {
  readonly name: string;
  readonly title: string;
  readonly status: Status;
  /** One line for each thing that is wrong. */
  readonly problems: readonly string[];
  /** For what failed otherwise than it must: the report of the search. */
  readonly report: string | undefined;
  /** Path files that have been written. */
  readonly saved: readonly string[];
  readonly result: Result | undefined;
  readonly cached: boolean;
  /** From start to end, assembling included. */
  readonly seconds: number;
}

/** An outcome with what it has; the rest is empty. */
export function outcomeOf(some: Partial<Outcome> & Pick<Outcome, 'name' | 'title' | 'status' | 'seconds'>): Outcome {
  return { problems: [], report: undefined, saved: [], result: undefined, cached: false, ...some };
}

/** What is wrong, as one problem. */
export function problemOf(error: InputError): string {
  return [error.message, ...error.notes].join('; ');
}
