/** What differs between processors, as data. The profiles lie in profiles/; `--knob` changes single values of one. */
import { createHash } from 'node:crypto';
import { InputError } from '../errors.js';
import { didYouMean } from '../suggestion.js';
import { conflictOf, isKnob, KNOB_NAMES, KNOBS, type Knobs, type KnobValue } from './knobs.js';
import { BUILT_IN, isProfileFile, profileDocument, valuesOf } from './profile_file.js';

/** The rules of a processor: plain data, one field for each knob. */
export interface Profile extends Knobs {
  /** Tells it apart from all others of a run: `intel`, `intel with smmNmiPolicy=iret-unblocks`. */
  readonly name: string;
}

/** Knobs that have been changed, in the order of KNOBS. */
export type Changes = Partial<Knobs>;

/** A profile together with where it comes from: what is needed to make it again. */
export interface ChosenProfile {
  readonly profile: Profile;
  /** The name in its file, without changes. */
  readonly base: string;
  /** The name or path that it was asked for by. */
  readonly given: string;
  readonly changes: Changes;
  /** SHA-256 of all its values, for a profile from a file of the user's; undefined for those of entrace. */
  readonly rules: string | undefined;
}

/** The profiles of entrace by name. */
export const PROFILES: Readonly<Record<string, Profile>> = Object.fromEntries(
  BUILT_IN.map((name) => [name, chooseProfile(name).profile]),
);

/** The profile of this name, or in this file (a path with a slash, or .yaml); an InputError if there is none. */
export function profileNamed(name: string): Profile {
  return chooseProfile(name).profile;
}

/** A profile by name or path, with some values changed; an InputError if they contradict each other. */
export function chooseProfile(given: string, changes: Changes = {}): ChosenProfile {
  const document = profileDocument(given);
  const values: Knobs = { ...valuesOf(document.settings), ...changes };
  const changed = Object.entries(changes).map(([knob, value]) => `${knob}=${value}`);
  const name = [document.name, ...(changed.length > 0 ? [`with ${changed.join(', ')}`] : [])].join(' ');
  const conflict = conflictOf(values);
  if (conflict) throw new InputError(`profile ${name}: ${conflict.text}`);
  return {
    profile: { name, ...values },
    base: document.name,
    given,
    changes,
    rules: isProfileFile(given) ? hashOf(values) : undefined,
  };
}

/** Reads `--profile`: names and paths, separated by commas, each with the same changes. */
export function chooseProfiles(list: string, changes: Changes): ChosenProfile[] {
  const chosen = list.split(',').map((name) => chooseProfile(name.trim(), changes));
  const twice = chosen.find((c, i) => chosen.findIndex((d) => d.base === c.base) < i);
  if (twice) throw new InputError(`--profile '${list}': ${twice.base} is given twice; give each profile once`);
  return chosen;
}

/** Reads `--knob`: a list of `NAME=VALUE`. */
export function parseChanges(list: readonly string[]): Changes {
  const changes = new Map<string, KnobValue>();
  for (const text of list) {
    const match = /^([^=]+)=(.*)$/s.exec(text);
    if (!match) {
      throw new InputError(`--knob '${text}': expected NAME=VALUE, for example iretFaultUnblocksNmi=false`);
    }
    const [, name, word] = match as unknown as [string, string, string];
    if (changes.has(name)) throw new InputError(`--knob '${text}': ${name} is given twice; give each knob once`);
    const value = word === 'true' || word === 'false' ? word === 'true' : word;
    changes.set(
      name,
      checked(name, value, (message) => new InputError(`--knob '${text}': ${message}`)),
    );
  }
  return inOrder(changes);
}

/** Checks changed knobs that come from a file. */
export function checkChanges(given: Readonly<Record<string, unknown>>): Changes {
  return inOrder(
    new Map(
      Object.entries(given).map(([name, value]) => [
        name,
        checked(name, value, (message) => new InputError(`knobs: ${message}`)),
      ]),
    ),
  );
}

function checked(name: string, value: unknown, error: (message: string) => InputError): KnobValue {
  if (!isKnob(name))
    throw error(`there is no knob '${name}'${didYouMean(name, KNOB_NAMES)}; entrace profiles lists them`);
  const parsed = KNOBS[name].safeParse(value);
  if (!parsed.success) throw error(`${name}: ${parsed.error.issues[0]!.message}, not '${value}'`);
  return parsed.data;
}

function inOrder(changes: ReadonlyMap<string, KnobValue>): Changes {
  return Object.fromEntries(KNOB_NAMES.flatMap((knob) => (changes.has(knob) ? [[knob, changes.get(knob)]] : [])));
}

function hashOf(values: Knobs): string {
  return createHash('sha256')
    .update(JSON.stringify(KNOB_NAMES.map((knob) => [knob, values[knob]])))
    .digest('hex');
}
