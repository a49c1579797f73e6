/** entrace ablate: alters the code under test in one respect at a time, and tells which alterations a search notices. */
import { type Mutant, mutantsOf } from '../ablation/mutants.js';
import { InputError } from '../errors.js';
import { rangesOf } from '../hooks/triggers.js';
import { plural } from '../report/names.js';
import { paintFor, shortPath } from '../report/text.js';
import { chooseCache } from '../scenarios/cache.js';
import type { Outcome } from '../scenarios/outcome.js';
import { Pool } from '../scenarios/pool.js';
import {
  type Ablated,
  ablationPage,
  ablationSummary,
  fateOf,
  isLeft,
  mutantLine,
} from '../scenarios/reporters/ablation.js';
import { type Case, casesOf, type Scenario } from '../scenarios/scenario.js';
import { readScenario } from '../scenarios/scenario_file.js';
import { subjectOf } from '../scenarios/subject.js';
import { readSurvivors } from '../scenarios/survivors.js';
import { nearNames } from '../suggestion.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';
import { refuseSource, writeFile } from './output.js';
import { SuiteProgress } from './progress_line.js';
import { type SearchOptions, scenarioOfOptions } from './search_options.js';

export interface AblateOptions extends SearchOptions {
  readonly only?: readonly string[];
  readonly mutant?: readonly string[];
  readonly known?: string;
  readonly markdown?: string;
  readonly verbose?: boolean;
  readonly workers: number;
  readonly timeout: number;
  readonly cache?: string | true;
}

/** A mutant may have more states than what it is made from, but not without end. */
const MORE_STATES = 20;
const LEAST_STATES = 200_000;

export async function ablate(files: readonly string[], options: AblateOptions): Promise<number> {
  const scenarios = scenariosOf(files, options);
  const cases = scenarios.flatMap(casesOf);
  const first = scenarios[0]!;
  const { image } = await subjectOf(cases[0]!);
  const ranges = options.only?.flatMap((text) => rangesOf(image, text));
  const mutants = selected(mutantsOf(image, ranges), options.mutant);
  const known = options.known === undefined ? undefined : readSurvivors(options.known);
  if (options.markdown !== undefined) {
    const survivorsFile = options.known === undefined ? [] : [options.known];
    refuseSource(options.markdown, '--markdown', [...image.sources.keys(), ...survivorsFile]);
    writeFile('--markdown', options.markdown, '', 'a');
  }

  const began = performance.now();
  const paint = paintFor(process.stdout);
  const common = {
    workers: options.workers,
    timeout: options.timeout,
    colours: false,
    cache: chooseCache(options.cache),
  };
  const run = (pool: Pool): Promise<Outcome[]> =>
    interruptible(
      () => pool.stop(),
      () => pool.run(),
    );

  // What is altered must first do what is expected of it.
  const unaltered: Outcome[] = [];
  const basis = cases.map((one) => ({ name: one.name, title: one.name, cases: [one] }));
  await run(new Pool(basis, { ...common, onOutcome: (outcome) => unaltered.push(outcome) }));
  const wrong = unaltered.find((o) => o.status !== 'met');
  if (wrong) {
    throw new InputError(`${wrong.name}: without any alteration: ${wrong.problems.join('; ')}; mend that first`);
  }
  if (unaltered.length < cases.length) return EXIT.OPEN;

  const limited = cases
    .map((one, i) => ({ one: withLimit(one, unaltered[i]!), states: unaltered[i]!.result!.states }))
    .sort((a, b) => a.states - b.states)
    .map(({ one }) => one);
  const ablated: Ablated[] = [];
  const progress = new SuiteProgress(process.stderr, mutants.length);
  const jobs = mutants.map((mutant) => ({ name: mutant.name, title: mutant.text, cases: limited, mutant }));
  const pool = new Pool(jobs, {
    ...common,
    onOutcome: (outcome, index) => {
      const fate = fateOf(outcome);
      const reason = isLeft(fate) ? known?.reasons.get(outcome.name) : undefined;
      const one = { mutant: mutants[index]!, outcome, fate, reason };
      ablated.push(one);
      if (!options.verbose && (!isLeft(fate) || reason !== undefined)) return;
      progress.clear();
      process.stdout.write(`${mutantLine(one, paint)}\n`);
    },
    onProgress: (running, done) => progress.show(running, done),
  });
  await run(pool);
  progress.clear();

  const left = mutants.length - ablated.length;
  process.stdout.write(`\n${ablationSummary(ablated, left, (performance.now() - began) / 1000, paint)}\n`);
  if (options.markdown !== undefined && left === 0) {
    const how = `Each mutant differs from the handler in one respect; it is caught when one of these searches does not come to what it must: ${cases.map((c) => c.name).join(', ')} (${plural(cases.length, 'case')}).`;
    const page = ablationPage(first.files.map(shortPath).join(' '), how, ablated);
    writeFile('--markdown', options.markdown, page, 'w');
  }
  return statusOf(ablated, left, known && { ...known, asked: new Set(mutants.map((m) => m.name)) });
}

function statusOf(
  ablated: readonly Ablated[],
  left: number,
  known: (ReturnType<typeof readSurvivors> & { readonly asked: ReadonlySet<string> }) | undefined,
): number {
  const stale = [...(known?.reasons.keys() ?? [])].filter((name) => {
    const one = ablated.find((a) => a.mutant.name === name);
    return one ? !isLeft(one.fate) : left === 0 && !known!.asked.has(name) && known!.asked.size > 1;
  });
  for (const name of stale) {
    process.stdout.write(`${known!.placeOf(name)}: '${name}' is said to survive, but does not; take it out\n`);
  }
  if (stale.length > 0 || ablated.some((a) => a.fate === 'survived' && a.reason === undefined)) return EXIT.FAILS;
  return left > 0 || ablated.some((a) => a.fate === 'open' && a.reason === undefined) ? EXIT.OPEN : EXIT.HOLDS;
}

/** Scenario files as they are, or one scenario that holds for assembly files. */
function scenariosOf(files: readonly string[], options: AblateOptions): Scenario[] {
  const yaml = files.filter((file) => /\.ya?ml$/.test(file));
  if (yaml.length > 0) {
    const other = files.find((file) => !yaml.includes(file));
    if (other !== undefined)
      throw new InputError(`${other}: give either scenarios (.yaml) or assembly files, not both`);
    const scenarios = yaml.map(readScenario);
    const image = (s: Scenario): string => JSON.stringify([s.files, s.sources]);
    const odd = scenarios.findIndex((s) => image(s) !== image(scenarios[0]!));
    if (odd > 0)
      throw new InputError(`${yaml[odd]}: is about another image than ${yaml[0]}; ablate one image at a time`);
    return scenarios;
  }
  return [scenarioOfOptions(files, options)];
}

function selected(mutants: readonly Mutant[], names: readonly string[] | undefined): readonly Mutant[] {
  if (names === undefined) return mutants;
  return names.map((name) => {
    const found = mutants.find((m) => m.name === name);
    if (found) return found;
    const near = nearNames(
      name,
      mutants.map((m) => m.name),
      3,
    );
    throw new InputError(
      `--mutant '${name}': there is no such mutant${near.length > 0 ? `; did you mean ${near.map((n) => `'${n}'`).join(' or ')}?` : ''}`,
    );
  });
}

function withLimit(one: Case, { result }: Outcome): Case {
  const maxStates = Math.max(LEAST_STATES, MORE_STATES * result!.states);
  return { ...one, scenario: { ...one.scenario, maxStates } };
}
