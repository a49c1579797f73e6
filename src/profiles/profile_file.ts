/** A profile as a YAML file: reading and checking. Errors name file:line:column. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { InputError } from '../errors.js';
import { didYouMean } from '../suggestion.js';
import { mapping, type Names, shown, text, YamlFile, type YamlPath } from '../yaml_file.js';
import { conflictOf, KNOB_NAMES, KNOBS, type KnobName, type Knobs, type KnobValue } from './knobs.js';

/** Where the profiles that come with entrace lie. */
const PROFILE_DIRECTORY = fileURLToPath(new URL('../../../profiles', import.meta.url));

/** Their names, in the order in which they are printed. */
export const BUILT_IN = ['intel', 'amd', 'fred'] as const;

/** A knob in a profile: its value, where that is documented, what it means and why this value. */
export interface Setting {
  readonly value: KnobValue;
  readonly source: string;
  readonly note: string;
}

/** A profile as its file says it, with what it inherits. */
export interface ProfileDocument {
  readonly name: string;
  readonly title: string;
  /** The profile that it extends, as its file writes it. */
  readonly extends: string | undefined;
  readonly settings: { readonly [K in KnobName]: Setting };
}

const profileFile = z.strictObject(
  {
    name: text.regex(/^[A-Za-z]\w*(?:[.-]\w+)*$/, { error: 'expected letters, digits, - and _, a letter first' }),
    title: text,
    extends: text.optional(),
    knobs: z.strictObject(
      Object.fromEntries(
        KNOB_NAMES.map((knob) => [
          knob,
          z
            .strictObject(
              { value: KNOBS[knob], source: text, note: text },
              { error: mapping('value:, source: and note:') },
            )
            .optional(),
        ]),
      ),
      { error: mapping('a knob on each line') },
    ),
  },
  { error: mapping('name:, title: and knobs:') },
);

/** Whether `profile` is the path of a file, and not a name. */
export function isProfileFile(profile: string): boolean {
  return profile.includes('/') || /\.ya?ml$/.test(profile);
}

const read = new Map<string, ProfileDocument>();

/** The profile of this name or in this file; an InputError if there is none, or if the file is wrong. */
export function profileDocument(profile: string): ProfileDocument {
  const file = pathOf(profile);
  if (file === undefined) throw new InputError(noProfile(profile));
  return documentIn(file, []);
}

/** `there is no profile …`, with the ones that there are. */
function noProfile(name: string): string {
  const names = BUILT_IN.join(', ');
  return `there is no profile '${name}'${didYouMean(name, BUILT_IN)}; the profiles are ${names}, or the path of a .yaml file`;
}

function pathOf(profile: string, base = '.'): string | undefined {
  if (isProfileFile(profile)) return resolve(base, profile);
  return (BUILT_IN as readonly string[]).includes(profile) ? join(PROFILE_DIRECTORY, `${profile}.yaml`) : undefined;
}

/** `outer`: the files that extend this one, outermost first. */
function documentIn(file: string, outer: readonly string[]): ProfileDocument {
  const known = read.get(file);
  if (known) return known;
  const document = new ProfileFile(file).document([...outer, file]);
  read.set(file, document);
  return document;
}

class ProfileFile {
  readonly #yaml: YamlFile;

  constructor(readonly file: string) {
    this.#yaml = new YamlFile(file, 'profile');
  }

  document(chain: readonly string[]): ProfileDocument {
    const { name, title, extends: base, knobs: given } = this.#yaml.checked(profileFile, namesAt);
    if ((BUILT_IN as readonly string[]).includes(name) && this.file !== pathOf(name)) {
      throw this.#yaml.at(['name'], `name: ${name} is the name of a profile of entrace; choose another one`);
    }
    const inherited = base === undefined ? undefined : this.#base(base, chain);
    const own = given as Partial<Record<KnobName, Setting>>;
    this.#yaml.refuseCutText([
      ['title'],
      ...Object.keys(own).flatMap((knob) => [
        ['knobs', knob, 'source'],
        ['knobs', knob, 'note'],
      ]),
    ]);
    const settings: Partial<Record<KnobName, Setting>> = {};
    for (const knob of KNOB_NAMES) {
      const setting = own[knob] ?? inherited?.settings[knob];
      if (!setting) {
        throw this.#yaml.at(['knobs'], `knobs: ${knob} is missing; add it, or take it over with "extends: intel"`);
      }
      settings[knob] = setting;
    }
    const all = settings as ProfileDocument['settings'];
    const conflict = conflictOf(valuesOf(all));
    if (conflict) {
      const knob = conflict.knobs.findLast((k) => own[k]);
      throw this.#yaml.at(knob ? ['knobs', knob, 'value'] : ['knobs'], `knobs: ${conflict.text}`);
    }
    return { name, title, extends: base, settings: all };
  }

  #base(base: string, chain: readonly string[]): ProfileDocument {
    const file = pathOf(base, dirname(this.file));
    if (file === undefined) throw this.#yaml.at(['extends'], `extends: ${noProfile(base)}`);
    if (chain.includes(file)) {
      const round = [...chain.slice(chain.indexOf(file)), file].map(shown).join(' extends ');
      throw this.#yaml.at(['extends'], `extends: goes round in a circle (${round}); let one of them stand on its own`);
    }
    if (!existsSync(file)) throw this.#yaml.at(['extends'], `extends: there is no file ${shown(file)}`);
    return documentIn(file, chain);
  }
}

function namesAt(path: YamlPath): Names {
  if (path[0] === 'knobs' && path.length === 1) {
    return { names: KNOB_NAMES, what: 'knob', list: 'entrace profiles lists them' };
  }
  const names = path.length === 0 ? Object.keys(profileFile.shape) : ['value', 'source', 'note'];
  return { names, what: 'field', list: `the fields are ${names.join(', ')}` };
}

export function valuesOf(settings: ProfileDocument['settings']): Knobs {
  return Object.fromEntries(KNOB_NAMES.map((knob) => [knob, settings[knob].value])) as unknown as Knobs;
}
