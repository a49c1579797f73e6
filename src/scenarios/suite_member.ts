/** Scenarios for suites that live in a test runner of their own: node:test, vitest. */
import { AssertionError } from 'node:assert';
import type { z } from 'zod';
import { startSearch } from '../explore/threads.js';
import { paintFor } from '../report/text.js';
import type { Outcome } from './outcome.js';
import { runCase } from './run_case.js';
import { casesOf, type Scenario } from './scenario.js';
import { readScenario, scenarioFrom } from './scenario_file.js';
import type { scenarioFile } from './schema.js';

/** The fields of a scenario, as in a file. */
export type ScenarioFields = z.input<typeof scenarioFile>;

export interface SuiteMember {
  readonly title: string;
  /** Runs it in each of its contexts, under each of its profiles. */
  readonly run: () => Promise<Outcome[]>;
  /** Runs it; rejects with an AssertionError that says what came out otherwise than it must, report included. */
  readonly check: () => Promise<void>;
}

/**
 * A scenario from an object: `const s = scenario({ title, image, events, expect })`, then `test(s.title, s.check)`. Files are looked
 * for in `directory`, then in the folders above it. An InputError if a field is wrong.
 */
export function scenario(fields: ScenarioFields, directory: string = process.cwd()): SuiteMember {
  return member(scenarioFrom(fields, directory));
}

/** The scenario in a YAML file. */
export function scenarioIn(file: string): SuiteMember {
  return member(readScenario(file));
}

function member(one: Scenario): SuiteMember {
  const run = async (): Promise<Outcome[]> => {
    const outcomes: Outcome[] = [];
    for (const each of casesOf(one)) {
      outcomes.push(await runCase(each, { paint: paintFor({}), search: (request) => startSearch(request).result }));
    }
    return outcomes;
  };
  const check = async (): Promise<void> => {
    const wrong = (await run()).filter((outcome) => outcome.status !== 'met');
    if (wrong.length === 0) return;
    const message = wrong
      .map(({ name, problems, report }) => [name, ...problems.map((p) => `  ${p}`), report ?? ''].join('\n').trimEnd())
      .join('\n\n');
    throw new AssertionError({ message, operator: 'scenario' });
  };
  return { title: one.title, run, check };
}
