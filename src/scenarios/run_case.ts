/** Runs one scenario under one profile in one context, and compares what comes out with what must. */
import { type Mutant, mutated } from '../ablation/mutants.js';
import { InputError, located } from '../errors.js';
import { describePlaces, parsePlaces } from '../explore/bound.js';
import { type SavedImage, savedCode, savedRules, savedSources, savePaths } from '../explore/path_file.js';
import { type Failure, type SearchResult, unchecked } from '../explore/result.js';
import type { SearchRequest } from '../explore/threads.js';
import { addressOf } from '../hooks/triggers.js';
import type { Subject } from '../platforms/subject.js';
import { type ChosenProfile, chooseProfile } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import { traceOf } from '../report/path.js';
import { searchReport } from '../report/search_report.js';
import { counterexample, type Heading, type Paint, shortPath } from '../report/text.js';
import { differences } from './boundary_set.js';
import type { Cache } from './cache.js';
import { type Outcome, outcomeOf, problemOf, type Result } from './outcome.js';
import type { Case } from './scenario.js';
import { subjectOf } from './subject.js';

export interface CaseOptions {
  readonly paint: Paint;
  /** How a search is run: in this thread, or in one of its own. */
  readonly search: (request: SearchRequest) => SearchResult | Promise<SearchResult>;
  readonly cache?: Cache;
  /** Where the paths of unexpected failures are saved. */
  readonly save?: string;
  /** The image is altered by it, and the first failure is enough. */
  readonly mutant?: Mutant;
}

/** Never rejects for bad input: that is an outcome. */
export async function runCase(one: Case, options: CaseOptions): Promise<Outcome> {
  const began = performance.now();
  const { scenario, name } = one;
  const outcome = (rest: Partial<Outcome> & Pick<Outcome, 'status'>): Outcome =>
    outcomeOf({ name, title: scenario.title, seconds: (performance.now() - began) / 1000, ...rest });
  if (scenario.missing !== undefined) return outcome({ status: 'skipped', problems: [scenario.missing] });
  try {
    const built = await subjectOf(one);
    const { mutant } = options;
    const subject = mutant ? { ...built, image: mutated(built.image, mutant) } : built;
    const profile = chooseProfile(one.profile, scenario.knobs);
    // A boundary that does not exist is an error of the scenario, whatever comes out.
    differences(subject.image, scenario.fails, []);
    const key = options.cache?.key(one, subject, profile.profile);
    const known = key === undefined ? undefined : options.cache!.get(key);
    // What has to be reported is run again: a cache keeps results, not what a person needs to see of them. Nobody reads that of a mutant.
    const asExpected = known && differences(subject.image, scenario.fails, known.failures).length === 0;
    const kept = asExpected || mutant ? known : undefined;
    const searched = kept ? undefined : await run(one, subject, profile, options);
    const result = kept ?? searched!.result;
    if (key !== undefined && searched && result.verdict !== 'open') options.cache!.put(key, result);
    const problems = differences(subject.image, scenario.fails, result.failures);
    const report = mutant ? undefined : searched?.report;
    if (result.verdict === 'open' || (result.stopped !== undefined && !(mutant && problems.length > 0))) {
      problems.push(`not closed: ${result.stopped}`);
      return outcome({ status: 'open', problems, report: report?.(), result });
    }
    if (problems.length === 0) return outcome({ status: 'met', result, cached: kept !== undefined });
    return outcome({
      status: 'unmet',
      problems,
      report: report?.(),
      saved: options.save === undefined ? [] : save(one, subject, profile, result, options.save),
      result,
    });
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return outcome({ status: 'bad-input', problems: [problemOf(error)] });
  }
}

/** A result, and how to report it: that runs each failing schedule again. */
interface Searched {
  readonly result: Result;
  readonly report: () => string;
}

/** Searches, or runs, what the case is about, and compares it with nothing. */
export async function resultOf(
  one: Case,
  subject: Subject,
  chosen: ChosenProfile,
  search: CaseOptions['search'],
): Promise<Result> {
  return (await run(one, subject, chosen, { search, paint: (_style, text) => text })).result;
}

async function run(one: Case, subject: Subject, chosen: ChosenProfile, options: CaseOptions): Promise<Searched> {
  return one.scenario.schedule ? runSchedule(one, subject, chosen, options) : runSearch(one, subject, chosen, options);
}

async function runSearch(
  { scenario, context }: Case,
  subject: Subject,
  { profile, changes }: ChosenProfile,
  { search, paint, mutant }: CaseOptions,
): Promise<Searched> {
  const bound = scenario.bound!;
  const field = scenario.at.length > 0 ? 'at' : 'events';
  const places = located(scenario.places[field]!, () =>
    parsePlaces(scenario.at, subject.image, subject.platform, bound),
  );
  const { verdict, states, transitions, seconds, stopped, failures, ...rest } = await search({
    subject,
    profile,
    properties: scenario.properties ?? PROPERTIES.map((p) => p.name),
    bound,
    places,
    ...(scenario.maxStates === undefined ? {} : { maxStates: scenario.maxStates }),
    untilFailure: mutant !== undefined && scenario.fails.length === 0,
  });
  const result = { verdict, states, transitions, seconds, stopped, failures };
  const heading: Heading = {
    files: scenario.files.map(shortPath),
    platform: scenario.platform,
    profile: profile.name,
    knobs: changes,
    context,
    bound,
    places: describePlaces(places, bound, subject.image),
    properties: scenario.properties,
  };
  return { result, report: () => searchReport(heading, subject, profile, { ...result, ...rest }, paint) };
}

function runSchedule(
  { scenario }: Case,
  subject: Subject,
  { profile }: ChosenProfile,
  { paint }: CaseOptions,
): Searched {
  const began = performance.now();
  const path = scenario.schedule!.map((firing) => ({
    ...firing,
    address: located(firing.place, () => addressOf(subject.image, firing.boundary)),
  }));
  const trace = located(scenario.places.schedule!, () => traceOf(subject, profile, path));
  const checked = scenario.properties;
  const broken = trace.broken.filter((b) => checked === undefined || checked.includes(b.property));
  const last = path.at(-1);
  const failures: Failure[] = [...new Set(broken.map((b) => b.property))].map((property) => ({
    property,
    boundary: last?.boundary ?? subject.image.name(trace.steps[0]!.address),
    address: last?.address ?? trace.steps[0]!.address,
    event: last?.event ?? 'none',
    instructions: broken.find((b) => b.property === property)!.step,
    path,
  }));
  const panic = trace.broken.find((b) => b.property === 'panic');
  const stopped =
    panic !== undefined && !broken.includes(panic)
      ? unchecked(trace.run.monitor.panicked!)
      : trace.run.ending === 'limit'
        ? `the path has not ended after ${trace.steps.length} transitions`
        : undefined;
  const report = (): string =>
    broken
      .map((b) => `${paint('red', b.property)}: ${b.sentence}\n${counterexample(trace, b, path, paint)}`)
      .join('\n\n');
  return {
    result: {
      verdict: failures.length > 0 ? 'fails' : stopped === undefined ? 'holds' : 'open',
      states: trace.steps.length,
      transitions: trace.steps.length,
      seconds: (performance.now() - began) / 1000,
      stopped: failures.length > 0 ? undefined : stopped,
      failures,
    },
    report,
  };
}

/** One path file for each failure that was not expected; returns their names. */
function save(one: Case, subject: Subject, chosen: ChosenProfile, result: Result, directory: string): string[] {
  const { scenario } = one;
  const failures = result.failures.filter((f) =>
    differences(subject.image, scenario.fails, [f]).some((line) => / not expected/.test(line)),
  );
  return savePaths(directory, failures, savedCase(one, subject, chosen));
}

/** What a path file says of a case. */
export function savedCase({ scenario, features, context }: Case, subject: Subject, chosen: ChosenProfile): SavedImage {
  return {
    image: subject.image.hash,
    files: [...scenario.files],
    ...savedSources(scenario.sources),
    ...savedCode({ ...scenario.code, features }),
    platform: scenario.platform,
    ...savedRules(chosen),
    context,
  };
}
