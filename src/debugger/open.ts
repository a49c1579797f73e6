/** Opens a debugger on what a command names: an image, a scenario or a path file. */
import { Assembler, type SourceSettings } from '../assembler/index.js';
import { Disassembler } from '../cpu/disassembler.js';
import { InputError, located } from '../errors.js';
import {
  readPathFile,
  refuseOtherImage,
  type SavedImage,
  savedCode,
  savedProfile,
  savedRules,
  savedSources,
  subjectOf as subjectOfPath,
} from '../explore/path_file.js';
import type { ScheduledEvent } from '../explore/result.js';
import { startSearch } from '../explore/threads.js';
import { addressOf } from '../hooks/triggers.js';
import { platformNamed } from '../platforms/index.js';
import { type CodeSettings, loadSubject, type Subject } from '../platforms/subject.js';
import { type Changes, chooseProfile, type Profile } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import { shortPath } from '../report/text.js';
import { brokenText } from '../report/trace.js';
import { resultOf, savedCase } from '../scenarios/run_case.js';
import { type Case, casesOf } from '../scenarios/scenario.js';
import { readScenario } from '../scenarios/scenario_file.js';
import { subjectOf } from '../scenarios/subject.js';
import { Debugger } from './debugger.js';

/** How an image is opened; a scenario or a path file says all of it itself but `case`. */
export interface DebugSettings {
  readonly platform: string;
  readonly profile: string;
  readonly knobs: Changes;
  readonly context: string;
  readonly sources: SourceSettings;
  readonly code: CodeSettings;
  /** Of a scenario with several contexts, profiles or features: the name, or a part of it, of one. */
  readonly case?: string;
  /** Flags that were given, for messages: a scenario and a path file know better. */
  readonly given?: readonly string[];
}

/** A place of a schedule, as path files have it. */
type Scheduled = Pick<ScheduledEvent, 'boundary' | 'hit' | 'event'>;

/** Rejects with an InputError for whatever is wrong with the files. */
export async function openDebugger(target: readonly string[], settings: DebugSettings): Promise<Debugger> {
  const [file] = target;
  if (file === undefined)
    throw new InputError('nothing to debug; name assembly files, a scenario (.yaml) or a path file (.json)');
  const single = /\.(json|ya?ml)$/i.exec(file);
  const other = target.find((name) => /\.(json|ya?ml)$/i.test(name));
  if (other !== undefined && target.length > 1) {
    throw new InputError(`${other}: a scenario or a path file is opened by itself; name it alone`);
  }
  const [flag] = settings.given ?? [];
  if (single && flag !== undefined) {
    throw new InputError(
      `${flag}: ${file} says that itself; leave it out (--case chooses among a scenario's contexts and profiles)`,
    );
  }
  if (single?.[1]?.toLowerCase() === 'json') return openPath(file);
  return single ? openScenario(file, settings.case) : openImage(target, settings);
}

async function openImage(files: readonly string[], settings: DebugSettings): Promise<Debugger> {
  const chosen = chooseProfile(settings.profile, settings.knobs);
  const subject = await loadSubject(await Assembler.create(), {
    files,
    platform: platformNamed(settings.platform),
    context: settings.context,
    vendor: chosen.profile.vendor,
    ...settings.sources,
    ...settings.code,
  });
  return debuggerOf(subject, chosen.profile, `${files.map(shortPath).join(' ')} in context ${settings.context}`, {
    image: subject.image.hash,
    files: [...files],
    ...savedSources(settings.sources),
    ...savedCode(settings.code),
    platform: settings.platform,
    ...savedRules(chosen),
    context: settings.context,
  });
}

async function openPath(file: string): Promise<Debugger> {
  const saved = readPathFile(file);
  const chosen = located(file, () => savedProfile(saved));
  const subject = await subjectOfPath(await Assembler.create(), saved);
  refuseOtherImage(file, saved, subject.image);
  const { entrace: _, property, path, ...common } = saved;
  const debug = await debuggerOf(subject, chosen.profile, shortPath(file), common);
  located(file, () => follow(debug, path, property));
  return debug;
}

async function openScenario(file: string, wanted: string | undefined): Promise<Debugger> {
  const scenario = readScenario(file);
  if (scenario.missing !== undefined) throw new InputError(`${file}: ${scenario.missing}`);
  const one = chooseCase(file, casesOf(scenario), wanted);
  const chosen = chooseProfile(one.profile, scenario.knobs);
  const subject = await subjectOf(one);
  const title = `${shortPath(file)}: ${scenario.title}`;
  const debug = await debuggerOf(subject, chosen.profile, title, savedCase(one, subject, chosen));
  if (scenario.schedule) {
    follow(debug, scenario.schedule, scenario.fails[0]?.property);
    return debug;
  }
  if (scenario.fails.length === 0) {
    debug.lastStop = { reason: 'start', text: 'at the start: the scenario holds, so there is no counterexample' };
    return debug;
  }
  const { failures, stopped } = await resultOf(one, subject, chosen, (request) => startSearch(request).result);
  const failure = scenario.fails
    .map(({ property }) => failures.find((f) => f.property === property))
    .find((f) => f !== undefined);
  if (failure) follow(debug, failure.path, failure.property);
  else {
    const why = stopped === undefined ? 'nothing of what it expects fails' : `the search was not closed: ${stopped}`;
    debug.lastStop = { reason: 'start', text: `at the start: ${why}` };
  }
  return debug;
}

/** The case that is meant: the only one, or the first one with these words in its name. */
function chooseCase(file: string, cases: readonly Case[], wanted: string | undefined): Case {
  if (wanted === undefined) return cases[0]!;
  const found = cases.find(({ name }) => name.includes(wanted));
  if (found) return found;
  throw new InputError(
    `--case ${wanted}: ${file} has no such case; it has ${cases.map(({ name }) => `'${name}'`).join(', ')}`,
  );
}

/** A debugger on a subject, at the start of its context. */
export async function debuggerOf(
  subject: Subject,
  profile: Profile,
  title: string,
  saved: SavedImage,
): Promise<Debugger> {
  const [att, intel] = await Promise.all([Disassembler.create(), Disassembler.create('intel')]);
  return new Debugger({ title, subject, profile, properties: PROPERTIES, disassemblers: { att, intel }, saved });
}

/** Runs a schedule to its end and goes back to where it first breaks `property`, or anything; to the start if it breaks nothing. */
export function follow(debug: Debugger, path: readonly Scheduled[], property: string | undefined): void {
  const { cursor, image } = debug;
  debug.play(
    path.map(({ boundary, hit, event }) => ({
      event,
      where: hit > 1 ? `${boundary} (time ${hit})` : boundary,
      address: addressOf(image, boundary),
      hit,
    })),
  );
  cursor.branch.name = 'counterexample';
  const broken = debug.history.broken;
  const failure = broken.find((b) => b.property === property) ?? broken[0];
  cursor.goTo(cursor.branch, failure ? failure.step + 1 : 0);
  debug.lastStop = failure
    ? { reason: 'failure', text: brokenText(failure) }
    : { reason: 'start', text: 'at the start: every property holds on this path' };
}
