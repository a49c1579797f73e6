/** entrace diff: the verdicts of two versions side by side. */
import { z } from 'zod';
import { InputError } from '../errors.js';
import { readJson } from '../files.js';
import type { Image } from '../image/image.js';
import { paintFor, shortPath } from '../report/text.js';
import { follower, type Searched, type Setting, versionDiff, versionDiffText } from '../report/version_diff.js';
import type { Outcome } from '../scenarios/outcome.js';
import { Pool } from '../scenarios/pool.js';
import { type Case, casesOf } from '../scenarios/scenario.js';
import { subjectOf } from '../scenarios/subject.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';
import { type SearchOptions, scenarioOfOptions } from './search_options.js';

export interface DiffOptions extends SearchOptions {
  readonly json?: boolean;
  readonly workers: number;
  readonly timeout: number;
}

/** One of the two: what it comes to, and its image if it was explored here. */
interface Version {
  readonly searched: readonly Searched[];
  readonly image: Image | undefined;
}

export async function diff(before: string, after: string, options: DiffOptions): Promise<number> {
  const names = [before, after];
  const cases = names.map((name) =>
    isResult(name) ? undefined : casesOf(scenarioOfOptions(name.split(','), options)),
  );
  const outcomes = await explored(
    cases.flatMap((list) => list ?? []),
    options,
  );
  if (outcomes === undefined) return EXIT.OPEN;
  const versions: Version[] = [];
  for (const [i, name] of names.entries()) {
    const list = cases[i];
    if (!list) versions.push({ searched: readResult(name), image: undefined });
    else
      versions.push({
        searched: outcomes.splice(0, list.length).map(searchedOf(list)),
        image: (await subjectOf(list[0]!)).image,
      });
  }
  const [a, b] = versions as [Version, Version];
  const settings = versionDiff(a.searched, b.searched, a.image && b.image ? follower(a.image, b.image) : (x) => x);
  if (!settings.some((s) => s.old !== undefined && s.new !== undefined)) {
    throw new InputError(
      `${before} and ${after} have no setting in common (${settings.map((s) => s.name).join('; ')}); make both results the same way`,
    );
  }
  const [old, now] = names.map(shortPath);
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ old, new: now, settings }, null, 2)}\n`
      : `${old} -> ${now}\n${versionDiffText(settings, paintFor(process.stdout))}\n`,
  );
  return statusOf(settings);
}

function statusOf(settings: readonly Setting[]): number {
  const has = (change: string): boolean => settings.some((s) => s.changes.some((c) => c.change === change));
  if (has('broken')) return EXIT.FAILS;
  const open = settings.some((s) => s.old === 'open' || s.new === 'open' || s.old === undefined || s.new === undefined);
  return open || has('unknown') ? EXIT.OPEN : EXIT.HOLDS;
}

/** Undefined if it was interrupted. */
async function explored(cases: readonly Case[], { workers, timeout }: DiffOptions): Promise<Outcome[] | undefined> {
  const jobs = cases.map((one) => ({ name: one.name, title: one.name, cases: [one] }));
  const outcomes: Outcome[] = [];
  const pool = new Pool(jobs, {
    workers,
    timeout,
    colours: false,
    cache: undefined,
    onOutcome: (outcome) => outcomes.push(outcome),
  });
  await interruptible(
    () => pool.stop(),
    () => pool.run(),
  );
  const wrong = outcomes.find((o) => o.result === undefined);
  if (wrong) throw new InputError(wrong.problems.join('; '));
  return outcomes.length === cases.length ? outcomes : undefined;
}

function searchedOf(cases: readonly Case[]): (outcome: Outcome, i: number) => Searched {
  return ({ result }, i) => ({
    name: `context ${cases[i]!.context}, profile ${cases[i]!.profile}`,
    verdict: result!.verdict,
    closed: result!.stopped === undefined,
    windows: result!.failures,
  });
}

function isResult(name: string): boolean {
  return name.endsWith('.json');
}

/** Bytes; a suite's result has a few million at most. */
const MAX_FILE = 1 << 28;

const failures = z.array(z.object({ property: z.string(), boundary: z.string(), event: z.string() }));
const verdict = z.enum(['holds', 'fails', 'open']);
const one = z.object({
  verdict,
  context: z.string(),
  profile: z.string(),
  stopped: z.string().optional(),
  failures,
});
const suite = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      verdict: verdict.optional(),
      stopped: z.string().optional(),
      failures: failures.optional(),
    }),
  ),
});
const result = z.union([suite, z.object({ profiles: z.array(one) }), one]);

/** What `explore --json` or `test --reporter json` wrote. */
function readResult(file: string): Searched[] {
  const parsed = result.safeParse(readJson(file, 'a result (.json)', MAX_FILE));
  if (!parsed.success) {
    throw new InputError(`${file}: is no result; make one with explore --json or test --reporter json=FILE`);
  }
  const { data } = parsed;
  const closed = (s: { readonly stopped?: string | undefined }): boolean => s.stopped === undefined;
  if ('cases' in data) {
    return data.cases.map((c) => ({
      name: c.name,
      verdict: c.verdict ?? 'open',
      closed: c.verdict !== undefined && closed(c),
      windows: c.failures ?? [],
    }));
  }
  const list = 'profiles' in data ? data.profiles : [data];
  return list.map((s) => ({
    name: `context ${s.context}, profile ${s.profile}`,
    verdict: s.verdict,
    closed: closed(s),
    windows: s.failures,
  }));
}
