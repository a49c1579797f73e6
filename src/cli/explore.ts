/** entrace explore: the exhaustive search, its report, its files. */
import { writeFileSync } from 'node:fs';
import { Assembler } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { describePlaces, parseBound, parsePlaces } from '../explore/bound.js';
import { makeDirectory, savePaths } from '../explore/path_file.js';
import { type Failure, isShorter, type SearchResult } from '../explore/result.js';
import { startSearch } from '../explore/threads.js';
import { buildSubject, type Subject } from '../platforms/boot.js';
import { platformNamed } from '../platforms/index.js';
import { type Profile, profileNamed } from '../profiles/profile.js';
import { PROPERTIES, selectProperties } from '../properties/index.js';
import { toJson } from '../report/json.js';
import { reportPath } from '../report/path.js';
import { type Heading, type Paint, paintFor, shortPath, summary, windows } from '../report/text.js';
import { EXIT } from './exit.js';
import { refuseSource } from './output.js';
import { ProgressLine } from './progress_line.js';

export interface ExploreOptions {
  readonly platform: string;
  readonly profile: string;
  readonly context: string;
  readonly events: string;
  readonly at?: readonly string[];
  readonly property?: string;
  readonly define?: Readonly<Record<string, string>>;
  readonly save?: string;
  readonly json?: string;
  readonly workers: number;
  readonly maxStates?: number;
  readonly maxMemory: number;
  readonly exact?: boolean;
}

export async function explore(files: readonly string[], options: ExploreOptions): Promise<number> {
  const platform = platformNamed(options.platform);
  const profile = profileNamed(options.profile);
  const bound = parseBound(options.events);
  const properties = selectProperties(options.property);
  const subject = buildSubject(await Assembler.create(), {
    files,
    platform,
    context: options.context,
    defines: options.define ?? {},
  });
  const places = parsePlaces(options.at ?? [], subject.image, platform);

  // Before the search and not after it: a result that cannot be written is lost.
  if (options.json !== undefined && options.json !== '-') {
    refuseSource(options.json, '--json', subject.image.sources.keys());
    writeJsonFile(options.json, '', 'a');
  }
  if (options.save !== undefined) makeDirectory(options.save);

  const progress = new ProgressLine(process.stderr);
  const running = startSearch(
    {
      subject,
      profile: profile.name,
      properties: properties.map((p) => p.name),
      bound,
      places,
      ...(options.maxStates === undefined ? {} : { maxStates: options.maxStates }),
      maxMemory: options.maxMemory * 2 ** 20,
      exact: options.exact ?? false,
      workers: options.workers,
    },
    (p) => progress.show(p),
  );
  const onInterrupt = (): void => running.interrupt();
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  let result: SearchResult;
  try {
    result = await running.result;
  } finally {
    progress.end();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  }

  const heading: Heading = {
    files,
    platform: platform.name,
    profile: profile.name,
    context: options.context,
    bound,
    places: describePlaces(places, bound, subject.image),
    properties: properties.length < PROPERTIES.length ? properties.map((p) => p.name) : undefined,
  };
  // With the JSON on standard output the report goes to standard error: each stream stays of one kind.
  const out = options.json === '-' ? process.stderr : process.stdout;
  out.write(`${report(heading, subject, profile, result, paintFor(out))}\n`);
  if (options.save !== undefined && result.failures.length > 0) {
    const names = savePaths(options.save, result.failures, {
      image: subject.image.hash,
      files: [...files],
      defines: { ...options.define },
      platform: platform.name,
      profile: profile.name,
      context: options.context,
    });
    out.write(
      `\n${names.length} paths saved in ${shortPath(options.save)}; entrace replay ${shortPath(names[0]!)} runs the first\n`,
    );
  }
  if (options.json !== undefined) writeJson(options.json, toJson(heading, subject.image.hash, result));
  if (result.verdict === 'fails') return EXIT.FAILS;
  return result.verdict === 'holds' ? EXIT.HOLDS : EXIT.OPEN;
}

/** The whole report: verdict, and for each property its windows and the shortest schedule in full. */
function report(heading: Heading, subject: Subject, profile: Profile, result: SearchResult, paint: Paint): string {
  const parts = [summary(heading, result, paint)];
  if (subject.standIns.length > 0) parts[0] += `\n  stand-ins for: ${subject.standIns.join(', ')}`;
  for (const property of PROPERTIES) {
    const failures = result.failures.filter((f) => f.property === property.name);
    if (failures.length === 0) continue;
    parts.push(windows(property.name, property.sentence, failures, paint));
    parts.push(reportPath(subject, profile, property.name, shortest(failures).path, paint));
  }
  return parts.join('\n\n');
}

function shortest(failures: readonly Failure[]): Failure {
  return failures.reduce((a, b) => (isShorter(b, a) ? b : a));
}

function writeJson(file: string, value: object): void {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (file === '-') process.stdout.write(text);
  else writeJsonFile(file, text, 'w');
}

function writeJsonFile(file: string, text: string, flag: 'a' | 'w'): void {
  try {
    writeFileSync(file, text, { flag });
  } catch (error) {
    throw new InputError(`--json ${file}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}
