/** What the searches of explore have in common: their request, their heading, how one is run, and how its failures are saved. */
import { InputError } from '../errors.js';
import { type Bound, describePlaces, parseBound, parsePlaces } from '../explore/bound.js';
import { savedCode, savedRules, savedSources, savePaths } from '../explore/path_file.js';
import type { SearchResult } from '../explore/result.js';
import { type SearchRequest, startSearch } from '../explore/threads.js';
import type { CodeSettings, Subject } from '../platforms/subject.js';
import type { ChosenProfile, Profile } from '../profiles/profile.js';
import { PROPERTIES, selectProperties } from '../properties/index.js';
import type { Property } from '../properties/property.js';
import type { Heading } from '../report/text.js';
import { interruptible } from './interrupt.js';
import { writeFile } from './output.js';
import { ProgressLine } from './progress_line.js';
import { type SearchOptions, sourceSettings } from './search_options.js';

export interface ExploreOptions extends SearchOptions {
  readonly save?: string;
  readonly json?: string;
  readonly workers: number;
  readonly maxStates?: number;
  readonly maxMemory: number;
  readonly exact?: boolean;
}

/** What is searched for, whatever the image turns out to be: the options, read. */
export interface SearchPlan {
  readonly files: readonly string[];
  readonly options: ExploreOptions;
  readonly bound: Bound;
  readonly properties: readonly Property[];
}

export function planOf(files: readonly string[], options: ExploreOptions): SearchPlan {
  return { files, options, bound: parseBound(options.events), properties: selectProperties(options.property) };
}

export type UnprofiledRequest = Omit<SearchRequest, 'profile'>;

/** The search of a subject, under whatever profile. */
export function searchRequest({ options, bound, properties }: SearchPlan, subject: Subject): UnprofiledRequest {
  return {
    subject,
    properties: properties.map((p) => p.name),
    bound,
    places: parsePlaces(options.at ?? [], subject.image, subject.platform, bound),
    ...(options.maxStates === undefined ? {} : { maxStates: options.maxStates }),
    maxMemory: options.maxMemory * 2 ** 20,
    exact: options.exact ?? false,
    workers: options.workers,
  };
}

export function headingOf(plan: SearchPlan, request: UnprofiledRequest, { profile, changes }: ChosenProfile): Heading {
  const { files, options, bound, properties } = plan;
  return {
    files,
    platform: options.platform,
    profile: profile.name,
    knobs: changes,
    context: options.context,
    bound,
    places: describePlaces(request.places, bound, request.subject.image),
    properties: properties.length < PROPERTIES.length ? properties.map((p) => p.name) : undefined,
  };
}

/** One path file for each failure; returns their names. `code`: how the code was run. */
export function saveFailures(
  folder: string,
  { files, options }: SearchPlan,
  { image }: Subject,
  chosen: ChosenProfile,
  { failures }: SearchResult,
  code: CodeSettings,
): string[] {
  return savePaths(folder, failures, {
    image: image.hash,
    files: [...files],
    ...savedSources(sourceSettings(options)),
    ...savedCode(code),
    platform: options.platform,
    ...savedRules(chosen),
    context: options.context,
  });
}

/** One search, with its progress line, until it ends or is interrupted. */
export async function runSearch(
  request: UnprofiledRequest,
  profile: Profile,
  several: boolean,
): Promise<{ readonly result: SearchResult; readonly interrupted: boolean }> {
  const progress = new ProgressLine(process.stderr);
  const running = startSearch({ ...request, profile }, (p) => progress.show(p));
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
    running.interrupt();
  };
  try {
    const result = await interruptible(stop, () => running.result);
    return { result, interrupted };
  } catch (error) {
    if (!several || !(error instanceof InputError)) throw error;
    throw new InputError(error.message, [...error.notes, `under the profile ${profile.name}`]);
  } finally {
    progress.end();
  }
}

export function writeJson(file: string, value: object): void {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (file === '-') process.stdout.write(text);
  else writeFile('--json', file, text, 'w');
}
