/** entrace explore --features all: the search for each set of features that makes other code, and what they come to. */
import { Assembler } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { describePlaces, parseBound, parsePlaces, printBound } from '../explore/bound.js';
import { makeDirectory, savedCode, savedSources, savePaths } from '../explore/path_file.js';
import type { SearchResult } from '../explore/result.js';
import type { SearchRequest } from '../explore/threads.js';
import {
  type CodeChoice,
  combinations,
  executedPlaces,
  type FeatureCombination,
  sameCode,
} from '../patching/combinations.js';
import { type Patchable, patchable } from '../patching/patch.js';
import { type ProcessorFeatures, processorFeatures } from '../platforms/features.js';
import { platformNamed } from '../platforms/index.js';
import { type BuildOptions, entryRange, loadSubject, type Subject, withOtherFeatures } from '../platforms/subject.js';
import { chooseProfiles, parseChanges } from '../profiles/profile.js';
import { PROPERTIES, selectProperties } from '../properties/index.js';
import { toJson } from '../report/json.js';
import { count, plural } from '../report/names.js';
import { searchReport } from '../report/search_report.js';
import { type Heading, paintFor, shortPath } from '../report/text.js';
import { EXIT } from './exit.js';
import { type ExploreOptions, runSearch, writeJson } from './explore.js';
import { refuseSource, writeFile } from './output.js';
import { codeSettings, sourceSettings } from './search_options.js';

/** A search that has been run, and the sets of features that it speaks for. */
interface Run {
  readonly subject: Subject;
  /** The names that the code was patched for: of the first set. */
  readonly names: readonly string[];
  readonly code: CodeChoice;
  /** Patched places that it has executed, or looked at. */
  readonly places: readonly bigint[];
  readonly processor: ProcessorFeatures;
  readonly result: SearchResult;
  readonly sets: (readonly string[])[];
}

/** Runs whose results are the same: verdict, and the boundaries of each failure. */
interface Group {
  readonly runs: Run[];
  readonly sets: (readonly string[])[];
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
  const { profile, changes, given, rules } = profiles[0]!;
  const bound = parseBound(options.events);
  const properties = selectProperties(options.property);
  const build: BuildOptions = {
    ...{ files, platform: platformNamed(options.platform), context: options.context, vendor: profile.vendor },
    ...sourceSettings(options),
    ...codeSettings({ ...options, features: 'default' }),
  };
  const assembler = await Assembler.create();
  const plain = await loadSubject(assembler, build);
  const { marker } = plain.platform.isolation;
  const patching = patchingOf(plain);
  const all = combinationsOf(plain, profile.vendor, vary);
  // With page-table isolation sections may lie elsewhere; the combinations are the same, in the same order.
  const isolated = all.some((c) => c.features.names.includes(marker))
    ? await loadSubject(assembler, { ...build, features: ['default', marker] })
    : undefined;
  const isolatedAll = isolated && combinationsOf(isolated, profile.vendor, vary);

  if (options.json !== undefined && options.json !== '-') {
    refuseSource(options.json, '--json', [...plain.image.sources.keys()]);
    writeFile('--json', options.json, '', 'a');
  }
  if (options.save !== undefined) makeDirectory(options.save);

  const runs: Run[] = [];
  let interrupted = false;
  let left = all.length;
  for (const [i, combination] of all.entries()) {
    const { names } = combination.features;
    const base = names.includes(marker) ? isolated! : plain;
    const { code } = (base === isolated ? isolatedAll! : all)[i]!;
    const processor = processorFeatures(patching, names, names);
    const known = runs.find((run) => speaksFor(run, processor, code));
    if (known) {
      known.sets.push(...combination.sets);
      left--;
      continue;
    }
    const subject = withOtherFeatures(base, names, profile.vendor);
    const request: Omit<SearchRequest, 'profile'> = {
      subject,
      properties: properties.map((p) => p.name),
      bound,
      places: parsePlaces(options.at ?? [], subject.image, subject.platform, bound),
      ...(options.maxStates === undefined ? {} : { maxStates: options.maxStates }),
      maxMemory: options.maxMemory * 2 ** 20,
      exact: options.exact ?? false,
      workers: options.workers,
      wantCode: true,
    };
    const done = await runSearch(request, profile, false);
    const codes = (base === isolated ? isolatedAll! : all).map((c) => c.code);
    const places = executedPlaces(codes, done.result.code ?? []);
    runs.push({ subject, names, code, places, processor, result: done.result, sets: [...combination.sets] });
    left--;
    interrupted = done.interrupted;
    if (interrupted) break;
  }

  const out = options.json === '-' ? process.stderr : process.stdout;
  const paint = paintFor(out);
  const groups = grouped(runs);
  const sets = all.reduce((n, c) => n + c.sets.length, 0);
  const where = `${printBound(bound)}, context ${options.context}, platform ${options.platform}, profile ${profile.name}`;
  out.write(`${paint('bold', files.map(shortPath).join(' '))}: ${plural(sets, 'set')} of features\n`);
  out.write(`  for every placement of ${where}\n`);
  out.write(`  the features that vary: ${varied(all).join(', ') || 'none'}; the others as by default\n`);
  out.write(
    `  ${count(runs.length)} ${runs.length === 1 ? 'search' : 'searches'}; the other sets run the same instructions\n`,
  );
  if (left > 0) out.write(`  interrupted: ${plural(left, 'code')} not explored\n`);
  for (const group of groups) {
    const { subject, result } = group.runs[0]!;
    out.write(`\n${verdict(result)}: ${plural(group.sets.length, 'set')}: ${listed(group.sets, sets)}\n`);
    const heading = headingOf(subject);
    if (result.verdict !== 'holds') out.write(`${searchReport(heading, subject, profile, result, paint)}\n`);
    if (options.save !== undefined && result.failures.length > 0) {
      const names = savePaths(options.save, result.failures, {
        ...{ image: subject.image.hash, files: [...files], platform: options.platform, profile: given },
        ...savedSources(sourceSettings(options)),
        ...savedCode({ ...codeSettings({ ...options, features: 'default' }), features: group.runs[0]!.names }),
        ...(Object.keys(changes).length > 0 ? { knobs: changes } : {}),
        ...(rules === undefined ? {} : { rules }),
        context: options.context,
      });
      out.write(`\n${plural(names.length, 'path')} saved in ${shortPath(options.save)}\n`);
    }
  }
  if (options.json !== undefined) {
    const json = groups.map((group) => ({
      sets: group.sets,
      searches: group.runs.length,
      result: toJson(headingOf(group.runs[0]!.subject), group.runs[0]!.subject, group.runs[0]!.result),
    }));
    writeJson(options.json, { varying: varied(all), groups: json, ...(left > 0 ? { notExplored: left } : {}) });
  }
  if (runs.some(({ result }) => result.verdict === 'fails')) return EXIT.FAILS;
  return left === 0 && runs.every(({ result }) => result.verdict === 'holds') ? EXIT.HOLDS : EXIT.OPEN;

  function headingOf(subject: Subject): Heading {
    const places = parsePlaces(options.at ?? [], subject.image, subject.platform, bound);
    return {
      ...{ files, platform: options.platform, profile: profile.name, knobs: changes, context: options.context, bound },
      places: describePlaces(places, bound, subject.image),
      properties: properties.length < PROPERTIES.length ? properties.map((p) => p.name) : undefined,
    };
  }
}

function combinationsOf(
  subject: Subject,
  vendor: BuildOptions['vendor'],
  vary: readonly string[] | undefined,
): FeatureCombination[] {
  const ranges = entryRange(subject.unpatched!, subject.platform);
  return combinations(patchingOf(subject), vendor ?? 'intel', ranges, vary);
}

function patchingOf({ unpatched }: Subject): Patchable {
  const code = patchable(unpatched!);
  if (code) return code;
  throw new InputError(`features 'all': nothing in ${unpatched!.tested.join(', ')} depends on them; leave them out`);
}

/** Whether what a run came to is what a search of this code would: the processor is the same, and each instruction it came by. */
function speaksFor(run: Run, processor: ProcessorFeatures, code: CodeChoice): boolean {
  const [a, b] = [run.processor, processor];
  return (
    a.control === b.control &&
    a.isolation === b.isolation &&
    a.pcid === b.pcid &&
    run.result.stopped === undefined &&
    sameCode(run.code, code, run.places)
  );
}

function grouped(runs: readonly Run[]): Group[] {
  const groups = new Map<string, Group>();
  for (const run of runs) {
    const { verdict, stopped, failures } = run.result;
    const windows = failures.map((f) => `${f.property} ${f.event} ${f.boundary}`).sort();
    const key = [verdict, stopped ?? '', ...windows].join('\n');
    const group = groups.get(key);
    if (group) {
      group.runs.push(run);
      group.sets.push(...run.sets);
    } else groups.set(key, { runs: [run], sets: [...run.sets] });
  }
  return [...groups.values()];
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
