/** How a run of a suite is reported: what every reporter has in common, and the reporters by name. */
import { InputError } from '../../errors.js';
import type { Paint } from '../../report/text.js';
import { didYouMean } from '../../suggestion.js';
import type { Outcome } from '../outcome.js';
import type { Case } from '../scenario.js';
import { catalogueReporter } from './catalogue.js';
import { jsonReporter } from './json.js';
import { junitReporter } from './junit.js';
import { ktapReporter } from './ktap.js';
import { textReporter } from './text.js';

/** A case that has been run; files that could not be read have an outcome alone. */
export interface Ran {
  readonly case: Case | undefined;
  readonly outcome: Outcome;
}

export interface SuiteEnd {
  readonly ran: readonly Ran[];
  /** Cases that were not run because the suite was interrupted. */
  readonly left: number;
  /** Of the whole run. */
  readonly seconds: number;
}

/** Each function returns text to be written, lines with their ends; empty for nothing. */
export interface Reporter {
  readonly begin?: (count: number) => string;
  readonly outcome?: (ran: Ran, number: number) => string;
  readonly end: (end: SuiteEnd) => string;
}

const REPORTERS: Readonly<Record<string, (paint: Paint) => Reporter>> = {
  text: textReporter,
  ktap: ktapReporter,
  junit: junitReporter,
  json: jsonReporter,
  catalogue: catalogueReporter,
};

export const REPORTER_NAMES = Object.keys(REPORTERS);

/** A reporter with the file that it writes to; without one, standard output. */
export interface ChosenReporter {
  readonly name: string;
  readonly file: string | undefined;
  readonly make: (paint: Paint) => Reporter;
}

/** Reads `--reporter`: `junit`, `junit=report.xml`. */
export function chooseReporter(text: string): ChosenReporter {
  const [name, ...rest] = text.split('=') as [string, ...string[]];
  const file = rest.length > 0 ? rest.join('=') : undefined;
  const make = Object.hasOwn(REPORTERS, name) ? REPORTERS[name] : undefined;
  if (!make) {
    throw new InputError(
      `--reporter '${name}': there is no such reporter${didYouMean(name, REPORTER_NAMES)}; the reporters are ${REPORTER_NAMES.join(', ')}`,
    );
  }
  if (file === '') throw new InputError(`--reporter '${text}': names no file after the =`);
  return { name, file, make };
}

export function passed({ outcome }: Ran): boolean {
  return outcome.status === 'met';
}

export function failed({ outcome }: Ran): boolean {
  return outcome.status !== 'met' && outcome.status !== 'skipped';
}

/** How many have passed, failed and been skipped. */
export function countsOf(ran: readonly Ran[]): {
  readonly right: number;
  readonly wrong: number;
  readonly skipped: number;
} {
  const right = ran.filter(passed).length;
  const wrong = ran.filter(failed).length;
  return { right, wrong, skipped: ran.length - right - wrong };
}
