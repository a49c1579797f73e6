/** A scenario: what is run, and what must come out. Plain data, so that it can go to another process. */
import { basename } from 'node:path';
import type { SourceSettings } from '../assembler/index.js';
import type { Bound } from '../explore/bound.js';
import { featureWords } from '../platforms/features.js';
import type { CodeSettings } from '../platforms/subject.js';
import type { Changes } from '../profiles/profile.js';

/** One event of a fixed schedule: at `boundary`, when it is reached for the `hit`-th time (from 1). */
export interface Firing {
  readonly event: string;
  readonly boundary: string;
  readonly hit: number;
  /** Where it is written. */
  readonly place: string;
}

/** An expected set of boundaries, as it is written. */
export interface ExpectedBoundary {
  readonly text: string;
  /** `file:line:column`, or the scenario's title. */
  readonly place: string;
}

/** A property that must fail, and where; without boundaries only for a fixed schedule. */
export interface ExpectedFailure {
  readonly property: string;
  readonly boundaries: readonly ExpectedBoundary[] | undefined;
}

export interface Scenario {
  /** What it is called in reports: its file without the ending, or its title. */
  readonly name: string;
  readonly title: string;
  /** Ids of the catalogue of races. */
  readonly races: readonly string[];
  readonly source: string | undefined;
  readonly platform: string;
  readonly profiles: readonly string[];
  readonly knobs: Changes;
  /** Absolute paths. */
  readonly files: readonly string[];
  /** Names, or absolute paths. */
  readonly contexts: readonly string[];
  /** How the files are read; absolute paths. */
  readonly sources: Required<SourceSettings>;
  /** Functions that get stand-ins, and those that are run themselves. */
  readonly code: Omit<CodeSettings, 'features'>;
  /** Sets of features that the code is patched for, as they are written; empty: the usual ones. */
  readonly features: readonly string[];
  /** Why the scenario is skipped: its image has to be fetched, and is not there. */
  readonly missing: string | undefined;
  /** What is searched, exhaustively … */
  readonly bound: Bound | undefined;
  /** … with where each kind may fire, in the form of `--at`. */
  readonly at: readonly string[];
  /** … or the schedule that is run. */
  readonly schedule: readonly Firing[] | undefined;
  /** Names; all of them if undefined. */
  readonly properties: readonly string[] | undefined;
  readonly maxStates: number | undefined;
  /** Left out of the short set. */
  readonly long: boolean;
  /** What must fail; nothing, if the scenario must hold. */
  readonly fails: readonly ExpectedFailure[];
  /** Why no handler can mend what fails. */
  readonly unfixable: string | undefined;
  /** Where each field is written: `file:line:column`. */
  readonly places: Readonly<Record<string, string>>;
}

/** A scenario under one profile, in one context, for one set of features. */
export interface Case {
  readonly scenario: Scenario;
  /** The scenario's name, with context and profile where it has several. */
  readonly name: string;
  readonly profile: string;
  readonly context: string;
  readonly features: readonly string[] | undefined;
}

export function casesOf(scenario: Scenario): Case[] {
  const { contexts, profiles, features } = scenario;
  const sets = features.length > 0 ? features : [undefined];
  return contexts.flatMap((context) =>
    profiles.flatMap((profile) =>
      sets.map((set) => {
        const parts = [
          ...(contexts.length > 1 ? [basename(context, '.S')] : []),
          ...(profiles.length > 1 ? [profile] : []),
          ...(sets.length > 1 ? [set!.replaceAll(/\s*,\s*/g, '+')] : []),
        ];
        const name = parts.length > 0 ? `${scenario.name} [${parts.join(', ')}]` : scenario.name;
        return { scenario, name, profile, context, features: featureWords(set) };
      }),
    ),
  );
}
