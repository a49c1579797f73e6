/** The options by which a search is described; for commands that run several, as a scenario that holds. */
import { resolve } from 'node:path';
import type { AssemblerName, SourceSettings } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { parseBound } from '../explore/bound.js';
import { featureWords } from '../platforms/features.js';
import { type CodeSettings, parseStub } from '../platforms/subject.js';
import { parseChanges } from '../profiles/profile.js';
import type { Scenario } from '../scenarios/scenario.js';
import { scenarioFrom } from '../scenarios/scenario_file.js';

/** The options that say how sources are read. */
export interface SourceOptions {
  readonly define?: Readonly<Record<string, string>>;
  readonly includeDir?: readonly string[];
  readonly include?: readonly string[];
  readonly assembler: AssemblerName;
}

export function sourceSettings(options: SourceOptions): Required<SourceSettings> {
  return {
    defines: options.define ?? {},
    includePaths: options.includeDir ?? [],
    forcedIncludes: options.include ?? [],
    assembler: options.assembler,
  };
}

/** The options that say how real code is run. */
export interface CodeOptions {
  readonly features?: string;
  readonly stub?: readonly string[];
  readonly through?: readonly string[];
}

export function codeSettings({ features, stub = [], through = [] }: CodeOptions): CodeSettings {
  return { features: featureWords(features), stubs: stub.map(parseStub), through };
}

export interface SearchOptions extends SourceOptions, CodeOptions {
  readonly platform: string;
  readonly profile: string;
  readonly knob?: readonly string[];
  readonly context: string;
  readonly events: string;
  readonly at?: readonly string[];
  readonly property?: string;
}

function stubsOf(texts: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    texts.map(parseStub).map(({ name, file }) => [name, file === undefined ? null : resolve(file)]),
  );
}

export function scenarioOfOptions(files: readonly string[], options: SearchOptions): Scenario {
  const places: Record<string, string[]> = {};
  for (const text of options.at ?? []) {
    const [, kind, place] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (kind === undefined) throw new InputError(`--at '${text}': expected KIND=LABEL..LABEL`);
    places[kind] = [...(places[kind] ?? []), place!];
  }
  const list = (text: string): string[] => text.split(',').map((item) => item.trim());
  const fields = {
    title: files.join(' '),
    image: files.map((file) => resolve(file)),
    platform: options.platform,
    profile: list(options.profile),
    knobs: parseChanges(options.knob ?? []),
    context: list(options.context),
    define: options.define ?? {},
    ...(options.includeDir ? { include: options.includeDir.map((file) => resolve(file)) } : {}),
    ...(options.include ? { 'include-file': options.include.map((file) => resolve(file)) } : {}),
    assembler: options.assembler,
    ...(options.features === undefined ? {} : { features: options.features }),
    ...(options.stub === undefined ? {} : { stub: stubsOf(options.stub) }),
    ...(options.through === undefined ? {} : { through: options.through }),
    events: parseBound(options.events),
    ...(Object.keys(places).length > 0 ? { at: places } : {}),
    ...(options.property === undefined ? {} : { properties: list(options.property) }),
    expect: 'holds',
  };
  return scenarioFrom(fields, '.');
}
