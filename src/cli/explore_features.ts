/** entrace explore --features all: the search for each set of features that makes other code, and what they come to. */
import { Assembler } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { printBound } from '../explore/bound.js';
import { makeDirectory } from '../explore/path_file.js';
import type { SearchResult } from '../explore/result.js';
import {
  type CodeChoice,
  combinations,
  executedPlaces,
  type FeatureCombination,
  patchedPlaces,
  sameCode,
} from '../patching/combinations.js';
import type { Vendor } from '../patching/features.js';
import { type Patchable, patchable } from '../patching/patch.js';
import { type ProcessorFeatures, processorFeatures } from '../platforms/features.js';
import { platformNamed } from '../platforms/index.js';
import { type BuildOptions, entryRange, loadSubject, type Subject, withOtherFeatures } from '../platforms/subject.js';
import { chooseProfiles, parseChanges } from '../profiles/profile.js';
import { toJson } from '../report/json.js';
import { count, plural } from '../report/names.js';
import { searchReport } from '../report/search_report.js';
import { paintFor, shortPath } from '../report/text.js';
import { EXIT } from './exit.js';
import { refuseSource, writeFile } from './output.js';
import { codeSettings, sourceSettings } from './search_options.js';
import {
  type ExploreOptions,
  headingOf,
  planOf,
  runSearch,
  saveFailures,
  searchRequest,
  type UnprofiledRequest,
  writeJson,
} from './search_run.js';

/** Searches whose results are the same (verdict, and the boundaries of each failure), and the sets of features that they speak for. */
interface Group {
  /** Of the first of them: images are large. */
  readonly request: UnprofiledRequest;
  readonly names: readonly string[];
  readonly result: SearchResult;
  searches: number;
  readonly sets: (readonly string[])[];
}

/** A search that has been run, as far as others are compared with it. */
interface Run {
  readonly code: CodeChoice;
  /** Patched places that it has executed, or looked at. */
  readonly executed: readonly bigint[];
  readonly processor: ProcessorFeatures;
  readonly group: Group;
}

/** The image before it is patched, and what can become of it. */
interface Base {
  readonly subject: Subject;
  readonly patching: Patchable;
  readonly combinations: readonly FeatureCombination[];
  readonly places: ReadonlyMap<bigint, number>;
}

/** More sets than these are counted, not named. */
const MOST_SETS = 8;

export async function exploreFeatures(
  files: readonly string[],
  options: ExploreOptions,
  vary: readonly string[] | undefined,
): Promise<number> {
  const profiles = chooseProfiles(options.profile, parseChanges(options.knob ?? []));
  if (profiles.length > 1) throw new InputError('--features all: runs many searches already; name one profile');
  const chosen = profiles[0]!;
  const { profile } = chosen;
  const byDefault = codeSettings({ ...options, features: 'default' });
  const plan = planOf(files, options);
  const build: BuildOptions = {
    ...{ files, platform: platformNamed(options.platform), context: options.context, vendor: profile.vendor },
    ...sourceSettings(options),
    ...byDefault,
  };
  const assembler = await Assembler.create();
  const plain = baseOf(await loadSubject(assembler, build), profile.vendor, vary);
  const { marker } = plain.subject.platform.isolation;
  const all = plain.combinations;
  // With page-table isolation sections may lie elsewhere; the combinations are the same, in the same order.
  const isolated = all.some((c) => c.features.names.includes(marker))
    ? baseOf(await loadSubject(assembler, { ...build, features: ['default', marker] }), profile.vendor, vary)
    : undefined;

  if (options.json !== undefined && options.json !== '-') {
    refuseSource(options.json, '--json', [...plain.subject.image.sources.keys()]);
    writeFile('--json', options.json, '', 'a');
  }
  if (options.save !== undefined) makeDirectory(options.save);

  const runs: Run[] = [];
  const groups = new Map<string, Group>();
  let left = all.length;
  for (const [i, combination] of all.entries()) {
    const { names } = combination.features;
    const base = names.includes(marker) ? isolated! : plain;
    const { code } = base.combinations[i]!;
    const processor = processorFeatures(base.patching, names, names);
    const known = runs.find((run) => speaksFor(run, processor, code));
    if (known) {
      known.group.sets.push(...combination.sets);
      left--;
      continue;
    }
    const request = {
      ...searchRequest(plan, withOtherFeatures(base.subject, names, profile.vendor)),
      wantCode: true,
    };
    const { result, interrupted } = await runSearch(request, profile, false);
    const key = keyOf(result);
    const group = groups.get(key) ?? { request, names, result, searches: 0, sets: [] };
    groups.set(key, group);
    group.searches++;
    group.sets.push(...combination.sets);
    runs.push({ code, executed: executedPlaces(base.places, result.code ?? []), processor, group });
    left--;
    if (interrupted) break;
  }

  const out = options.json === '-' ? process.stderr : process.stdout;
  const paint = paintFor(out);
  const sets = all.reduce((n, c) => n + c.sets.length, 0);
  const where = `${printBound(plan.bound)}, context ${options.context}, platform ${options.platform}, profile ${profile.name}`;
  out.write(`${paint('bold', files.map(shortPath).join(' '))}: ${plural(sets, 'set')} of features\n`);
  out.write(`  for every placement of ${where}\n`);
  out.write(`  the features that vary: ${varied(all).join(', ') || 'none'}; the others as by default\n`);
  out.write(
    `  ${count(runs.length)} ${runs.length === 1 ? 'search' : 'searches'}; the other sets run the same instructions\n`,
  );
  if (left > 0) out.write(`  interrupted: ${plural(left, 'code')} not explored\n`);
  for (const group of groups.values()) {
    const { request, result } = group;
    const { subject } = request;
    out.write(`\n${verdict(result)}: ${plural(group.sets.length, 'set')}: ${listed(group.sets, sets)}\n`);
    if (result.verdict !== 'holds')
      out.write(`${searchReport(headingOf(plan, request, chosen), subject, profile, result, paint)}\n`);
    if (options.save !== undefined && result.failures.length > 0) {
      const { names: features } = group;
      const names = saveFailures(options.save, plan, subject, chosen, result, { ...byDefault, features });
      out.write(`\n${plural(names.length, 'path')} saved in ${shortPath(options.save)}\n`);
    }
  }
  if (options.json !== undefined) {
    const json = [...groups.values()].map(({ sets, searches, request, result }) => ({
      sets,
      searches,
      result: toJson(headingOf(plan, request, chosen), request.subject, result),
    }));
    writeJson(options.json, { varying: varied(all), groups: json, ...(left > 0 ? { notExplored: left } : {}) });
  }
  const results = [...groups.values()].map(({ result }) => result);
  if (results.some((r) => r.verdict === 'fails')) return EXIT.FAILS;
  return left === 0 && results.every((r) => r.verdict === 'holds') ? EXIT.HOLDS : EXIT.OPEN;
}

function baseOf(subject: Subject, vendor: Vendor, vary: readonly string[] | undefined): Base {
  const linked = subject.unpatched!;
  const patching = patchable(linked);
  if (!patching) {
    throw new InputError(`features 'all': nothing in ${linked.tested.join(', ')} depends on them; leave them out`);
  }
  const all = combinations(patching, vendor, entryRange(linked, subject.platform), vary);
  return { subject, patching, combinations: all, places: patchedPlaces(all.map((c) => c.code)) };
}

/** Whether what a run came to is what a search of this code would: the processor is the same, and each instruction it came by. */
function speaksFor(run: Run, processor: ProcessorFeatures, code: CodeChoice): boolean {
  const [a, b] = [run.processor, processor];
  return (
    a.control === b.control &&
    a.isolation === b.isolation &&
    a.pcid === b.pcid &&
    run.group.result.stopped === undefined &&
    sameCode(run.code, code, run.executed)
  );
}

/** The same for results that are the same. */
function keyOf({ verdict, stopped, failures }: SearchResult): string {
  const windows = failures.map((f) => `${f.property} ${f.event} ${f.boundary}`).sort();
  return [verdict, stopped ?? '', ...windows].join('\n');
}

function varied(all: readonly FeatureCombination[]): string[] {
  return [...new Set(all.flatMap((c) => c.sets.flat()))].sort();
}

function verdict({ verdict, stopped }: SearchResult): string {
  return stopped === undefined ? verdict : `${verdict}, not closed`;
}

/** `all of them`, or the sets themselves. */
function listed(sets: readonly (readonly string[])[], all: number): string {
  if (sets.length === all) return 'all of them';
  const name = (set: readonly string[]): string => set.join('+') || 'none';
  const rest = sets.length - MOST_SETS;
  return `${sets.slice(0, MOST_SETS).map(name).join(', ')}${rest > 0 ? ` and ${count(rest)} more` : ''}`;
}
