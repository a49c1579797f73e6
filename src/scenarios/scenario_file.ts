/** Reading a scenario: from a YAML file, or from an object of the same form. Errors name file:line:column. */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { InputError, located } from '../errors.js';
import { kindsOf, parseBound } from '../explore/bound.js';
import { eventNamed } from '../harness/events.js';
import { featureWords } from '../platforms/features.js';
import { platformNamed } from '../platforms/index.js';
import { contextPath, isContextFile } from '../platforms/subject.js';
import { checkChanges, chooseProfile } from '../profiles/profile.js';
import { isProfileFile } from '../profiles/profile_file.js';
import { fieldAt, foremost, shown, unknownName, YamlFile, type YamlPath } from '../yaml_file.js';
import type { ExpectedFailure, Firing, Scenario } from './scenario.js';
import { namesAt, type ScenarioFields, scenarioFile } from './schema.js';

/** Where a field of a scenario is written. */
type PlaceOf = (path: YamlPath, key?: boolean) => string;

/** The scenario in a file. */
export function readScenario(file: string): Scenario {
  const yaml = new YamlFile(resolve(file), 'scenario');
  const fields = yaml.checked(scenarioFile, namesAt);
  yaml.refuseCutText([['title'], ['source'], ['expect', 'known-unfixable']]);
  const name = shown(resolve(file)).replace(/\.ya?ml$/, '');
  return scenarioOf(fields, name, dirname(resolve(file)), (path, key) => yaml.place(path, key));
}

/** A scenario from an object; `directory` is where its files are looked for, and in the folders above. */
export function scenarioFrom(fields: unknown, directory: string): Scenario {
  const parsed = scenarioFile.safeParse(fields);
  const title = (fields as { title?: unknown } | undefined)?.title;
  const name = typeof title === 'string' && title !== '' ? title : 'scenario';
  if (!parsed.success) {
    const issue = foremost(parsed.error.issues);
    const { path, message } = issue;
    const wrong =
      issue.code === 'unrecognized_keys' ? unknownName(issue.keys[0]!, namesAt(path)) : `${fieldAt(path)}${message}`;
    throw new InputError(`${name}: ${wrong}`);
  }
  return scenarioOf(parsed.data, name, directory, () => name);
}

function scenarioOf(fields: ScenarioFields, name: string, directory: string, placeOf: PlaceOf): Scenario {
  const inField = <T>(path: YamlPath, body: () => T, key = false): T => located(placeOf(path, key), body);
  const wrong = (path: YamlPath, message: string, key = false): InputError =>
    new InputError(`${placeOf(path, key)}: ${message}`);
  const each = (
    field: 'profile' | 'context' | 'image' | 'include' | 'include-file' | 'features' | 'through',
    fallback: string,
  ): [string, YamlPath][] => {
    const value = fields[field] ?? fallback;
    const list = typeof value === 'string' ? [value] : value;
    const twice = list.findIndex((item, i) => list.indexOf(item) < i);
    if (twice >= 0) throw wrong([field, twice], `${field}: ${list[twice]} is given twice`);
    return list.map((item, i) => [item, typeof value === 'string' ? [field] : [field, i]]);
  };

  const platform = fields.platform ?? 'linux';
  const conventions = inField(['platform'], () => platformNamed(platform));
  const knobs = inField(['knobs'], () => checkChanges(fields.knobs ?? {}));
  const profiles = each('profile', 'intel').map(([profile, path]) => {
    const found = isProfileFile(profile) ? inField(path, () => nearest(profile, directory, 'profile')) : profile;
    inField(path, () => chooseProfile(found, knobs));
    return found;
  });
  const contexts = each('context', 'kernel').map(([context, path]) => {
    if (isContextFile(context)) return inField(path, () => nearest(context, directory, 'context'));
    inField(path, () => contextPath(context, conventions, true));
    return context;
  });
  let missing: string | undefined;
  const files = each('image', '').map(([file, path]) =>
    inField(path, () => {
      const path = found(file, directory);
      if (path === undefined && fields.obtain !== undefined) missing ??= `${file} is not there: ${fields.obtain}`;
      return path ?? (fields.obtain === undefined ? nearest(file, directory, 'image') : resolve(file));
    }),
  );
  const included = (field: 'include' | 'include-file'): string[] =>
    fields[field] === undefined
      ? []
      : each(field, '').map(([file, path]) => inField(path, () => nearest(file, directory, field)));

  if (fields.schedule && (fields.events || fields.at)) {
    throw wrong(['schedule'], 'schedule: stands instead of events: and at:; leave one of them out', true);
  }
  if (!fields.schedule && !fields.events) {
    throw wrong([], 'neither events: nor schedule: says what fires; add one, for example events: { nmi: 2 }');
  }
  const { events } = fields;
  const bound =
    events &&
    inField(['events'], () =>
      parseBound(
        Object.entries(events)
          .map(([kind, count]) => `${kind}=${count}`)
          .join(','),
      ),
    );
  const at = Object.entries(fields.at ?? {}).flatMap(([kind, places]) => {
    const event = inField(['at', kind], () => eventNamed(kind).name, true);
    if (bound?.[event] === undefined) {
      const kinds = bound ? kindsOf(bound).join(', ') : '';
      throw wrong(['at', kind], `at: ${kind} is not among the events (${kinds}); add it there`, true);
    }
    return (typeof places === 'string' ? [places] : places).map((place) => `${event}=${place}`);
  });
  const schedule = fields.schedule?.map((text, i) =>
    inField(['schedule', i], () => ({ ...firing(text), place: placeOf(['schedule', i]) })),
  );

  return {
    name,
    title: fields.title,
    races: fields.races ?? [],
    source: fields.source,
    platform,
    profiles,
    knobs,
    files,
    contexts,
    sources: {
      defines: Object.fromEntries(Object.entries(fields.define ?? {}).map(([macro, value]) => [macro, String(value)])),
      includePaths: included('include'),
      forcedIncludes: included('include-file'),
      assembler: fields.assembler ?? 'keystone',
    },
    code: {
      stubs: Object.entries(fields.stub ?? {}).map(([name, file]) => ({
        name,
        file: file === null ? undefined : inField(['stub', name], () => nearest(file, directory, 'stub')),
      })),
      through: fields.through === undefined ? [] : each('through', '').map(([name]) => name),
    },
    features:
      fields.features === undefined
        ? []
        : each('features', '').map(([set, path]) => {
            inField(path, () => featureWords(set));
            return set;
          }),
    missing,
    bound,
    at,
    schedule,
    properties: fields.properties,
    maxStates: fields['max-states'],
    long: fields.long ?? false,
    fails: fields.expect === 'holds' ? [] : expected(fields.expect, schedule !== undefined, fields.properties, placeOf),
    unfixable: fields.expect === 'holds' ? undefined : fields.expect['known-unfixable'],
    places: Object.fromEntries(
      ['image', 'context', 'profile', 'events', 'at', 'schedule', 'expect'].map((field) => [field, placeOf([field])]),
    ),
  };
}

function expected(
  expect: Exclude<ScenarioFields['expect'], 'holds'>,
  scheduled: boolean,
  properties: readonly string[] | undefined,
  placeOf: PlaceOf,
): ExpectedFailure[] {
  const { fails, boundaries } = expect;
  const wrong = (path: YamlPath, message: string, key = false): InputError =>
    new InputError(`${placeOf(path, key)}: ${message}`);
  const checked = (property: string, path: YamlPath, key: boolean): string => {
    if (properties && !properties.includes(property)) {
      throw wrong(path, `expect: ${property} is not among the properties that are checked; add it there`, key);
    }
    return property;
  };
  const list = (texts: readonly string[], path: YamlPath): { text: string; place: string }[] =>
    texts.map((text, i) => ({ text, place: placeOf([...path, i]) }));
  if (typeof fails === 'object' && !Array.isArray(fails)) {
    if (boundaries) {
      throw wrong(['expect', 'boundaries'], 'expect: boundaries: goes with a single property under fails:', true);
    }
    const entries = Object.entries(fails as Record<string, string[]>);
    if (entries.length === 0) throw wrong(['expect', 'fails'], 'expect: fails: names no property');
    return entries.map(([property, texts]) => ({
      property: checked(property, ['expect', 'fails', property], true),
      boundaries: list(texts, ['expect', 'fails', property]),
    }));
  }
  const names = typeof fails === 'string' ? [fails] : (fails as string[]);
  if (!scheduled && boundaries === undefined) {
    throw wrong(
      ['expect', 'fails'],
      names.length === 1
        ? `expect: boundaries: is missing; name the exact set at which ${names[0]} fails, for example boundaries: [nmi+0..2]`
        : 'expect: the boundaries are missing; write fails: as a mapping, for example { context: [nmi+0..2], progress: [irq_return] }',
      true,
    );
  }
  if (boundaries && names.length > 1) {
    throw wrong(
      ['expect', 'boundaries'],
      'expect: with several properties write fails: as a mapping from each to its boundaries',
      true,
    );
  }
  return names.map((property, i) => ({
    property: checked(property, typeof fails === 'string' ? ['expect', 'fails'] : ['expect', 'fails', i], false),
    boundaries: boundaries && list(boundaries, ['expect', 'boundaries']),
  }));
}

/** Reads `nmi@label+2` or `nmi@label+2#3`. */
function firing(text: string): Omit<Firing, 'place'> {
  const match = /^([a-z][a-z0-9:-]*)@([^@#\s]+)(?:#([1-9]\d*))?$/i.exec(text.trim());
  if (!match) {
    throw new InputError(`schedule: '${text}' is not of the form EVENT@BOUNDARY, for example nmi@nmi+2 or nmi@nmi+2#3`);
  }
  return { event: eventNamed(match[1]!).name, boundary: match[2]!, hit: Number(match[3] ?? 1) };
}

/** A folder with one of these is a project: what lies above it is another's. */
const PROJECT = ['.git', 'package.json'];

/** The file of this name in `directory`, or in the nearest folder above it that has one, within the project; undefined if there is none. */
function found(file: string, directory: string): string | undefined {
  if (isAbsolute(file)) return existsSync(file) ? file : undefined;
  for (let folder = resolve(directory); ; folder = dirname(folder)) {
    const path = join(folder, file);
    if (existsSync(path)) return path;
    const top = folder === process.cwd() || PROJECT.some((name) => existsSync(join(folder, name)));
    if (top || dirname(folder) === folder) return undefined;
  }
}

/** The same; an InputError if there is none. */
function nearest(file: string, start: string, field: string): string {
  const path = found(file, start);
  if (path !== undefined) return path;
  if (isAbsolute(file)) throw new InputError(`${field}: there is no file ${file}`);
  const directory = resolve(start);
  throw new InputError(
    `${field}: there is no file ${file}, neither in ${shown(directory) || '.'} nor in a folder above it`,
  );
}
