/** A profile as a YAML file: reading and checking. Errors name file:line:column. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { InputError } from '../errors.js';
import { refuseEndless } from '../files.js';
import { conflictOf, KNOB_NAMES, KNOBS, type KnobName, type Knobs, type KnobValue } from './knobs.js';
import { didYouMean } from './suggestion.js';

/** Bytes; the profiles here have a few thousand. */
const MAX_FILE = 1 << 20;

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

const text = z.string({ error: 'expected text' }).trim().min(1, { error: 'is empty' });

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

/** A message for what is no mapping; other issues of the object keep their own. */
function mapping(what: string): (issue: { readonly code?: string }) => string | undefined {
  return (issue) => (issue.code === 'invalid_type' ? `expected a mapping with ${what}` : undefined);
}

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

/** A file as a person would name it. */
function shown(file: string): string {
  const short = relative(process.cwd(), file);
  return short.startsWith('..') ? file : short;
}

class ProfileFile {
  readonly #lines = new LineCounter();
  readonly #yaml: Document.Parsed;

  constructor(readonly file: string) {
    this.#yaml = parseDocument(this.#text(), { lineCounter: this.#lines, prettyErrors: false });
    const wrong = this.#yaml.errors[0] ?? this.#yaml.warnings[0];
    if (wrong) {
      const message =
        wrong.code === 'MULTIPLE_DOCS' ? 'a second document begins here; a file holds one profile' : wrong.message;
      throw this.#error(wrong.pos[0], `is not the YAML of a profile: ${message.replace(/\s+/g, ' ')}`);
    }
  }

  #text(): string {
    refuseEndless(this.file, 'a profile (.yaml)', MAX_FILE);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(this.file));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const why =
        code === 'ENOENT'
          ? 'there is no such file'
          : code === 'EISDIR'
            ? 'is a directory; name a profile (.yaml)'
            : code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
              ? 'is no text; name a profile (.yaml)'
              : `cannot be read (${code})`;
      throw new InputError(`${shown(this.file)}: ${why}`);
    }
  }

  document(chain: readonly string[]): ProfileDocument {
    const { name, title, extends: base, knobs: given } = this.#checked();
    if ((BUILT_IN as readonly string[]).includes(name) && this.file !== pathOf(name)) {
      throw this.#at(['name'], `name: ${name} is the name of a profile of entrace; choose another one`);
    }
    const inherited = base === undefined ? undefined : this.#base(base, chain);
    const own = given as Partial<Record<KnobName, Setting>>;
    this.#refuseCutText(Object.keys(own));
    const settings: Partial<Record<KnobName, Setting>> = {};
    for (const knob of KNOB_NAMES) {
      const setting = own[knob] ?? inherited?.settings[knob];
      if (!setting) {
        throw this.#at(['knobs'], `knobs: ${knob} is missing; add it, or take it over with "extends: intel"`);
      }
      settings[knob] = setting;
    }
    const all = settings as ProfileDocument['settings'];
    const conflict = conflictOf(valuesOf(all));
    if (conflict) {
      const knob = conflict.knobs.findLast((k) => own[k]);
      throw this.#at(knob ? ['knobs', knob, 'value'] : ['knobs'], `knobs: ${conflict.text}`);
    }
    return { name, title, extends: base, settings: all };
  }

  #checked(): z.infer<typeof profileFile> {
    let content: unknown;
    try {
      content = this.#yaml.toJS({ maxAliasCount: 0 });
    } catch {
      throw this.#error(0, 'uses an alias (*NAME); write the value out');
    }
    const parsed = profileFile.safeParse(content);
    if (parsed.success) return parsed.data;
    // An unknown name often stands where another one is then missing: it is the one to correct.
    const issues = parsed.error.issues;
    const issue = issues.find((i) => i.code === 'unrecognized_keys') ?? issues[0]!;
    const path = issue.path as string[];
    if (issue.code !== 'unrecognized_keys') {
      const field = path.length > 0 ? `${path.join('.')}: ` : '';
      if (path.length > 0 && !this.#yaml.hasIn(path)) {
        throw this.#at(path.slice(0, -1), `${field}is missing; add it`);
      }
      const value = this.#yaml.getIn(path);
      const found =
        typeof value === 'object' || value === undefined || value === '' ? '' : `, not ${JSON.stringify(value)}`;
      throw this.#at(path, `${field}${issue.message}${found}`);
    }
    const key = issue.keys[0]!;
    const names =
      path.length === 0
        ? Object.keys(profileFile.shape)
        : path[0] === 'knobs' && path.length === 1
          ? KNOB_NAMES
          : ['value', 'source', 'note'];
    const what = names === KNOB_NAMES ? 'knob' : 'field';
    const list = names === KNOB_NAMES ? 'entrace profiles lists them' : `the fields are ${names.join(', ')}`;
    throw this.#at([...path, key], `there is no ${what} '${key}'${didYouMean(key, names)}; ${list}`, true);
  }

  /** ` #` begins a comment in YAML, and events are called #GP and #DB: a text that is cut off there is refused. */
  #refuseCutText(knobs: readonly string[]): void {
    const texts = [
      ['title'],
      ...knobs.flatMap((knob) => [
        ['knobs', knob, 'source'],
        ['knobs', knob, 'note'],
      ]),
    ];
    for (const path of texts) {
      const node = this.#yaml.getIn(path, true);
      if (isScalar(node) && node.type === 'PLAIN' && node.comment) {
        throw this.#at(path, `${path.join('.')}: what follows ' #' would be a comment; put the text in quotes`);
      }
    }
  }

  #base(base: string, chain: readonly string[]): ProfileDocument {
    const file = pathOf(base, dirname(this.file));
    if (file === undefined) throw this.#at(['extends'], `extends: ${noProfile(base)}`);
    if (chain.includes(file)) {
      const round = [...chain.slice(chain.indexOf(file)), file].map(shown).join(' extends ');
      throw this.#at(['extends'], `extends: goes round in a circle (${round}); let one of them stand on its own`);
    }
    if (!existsSync(file)) throw this.#at(['extends'], `extends: there is no file ${shown(file)}`);
    return documentIn(file, chain);
  }

  /** An error at a node, or at the nearest one around it that the file has; `key`: at the name, not at the value. */
  #at(path: readonly string[], message: string, key = false): InputError {
    if (key) {
      const map = path.length === 1 ? this.#yaml.contents : this.#yaml.getIn(path.slice(0, -1), true);
      const pair = isMap(map)
        ? map.items.find((p) => isScalar(p.key) && String(p.key.value) === path.at(-1))
        : undefined;
      if (pair && isNode(pair.key) && pair.key.range) return this.#error(pair.key.range[0], message);
    }
    for (let n = path.length; n >= 0; n--) {
      const node = n === 0 ? this.#yaml.contents : this.#yaml.getIn(path.slice(0, n), true);
      if (isNode(node) && node.range) return this.#error(node.range[0], message);
    }
    return this.#error(0, message);
  }

  #error(offset: number, message: string): InputError {
    const { line, col } = this.#lines.linePos(offset);
    return new InputError(`${shown(this.file)}:${Math.max(1, line)}:${Math.max(1, col)}: ${message}`);
  }
}

export function valuesOf(settings: ProfileDocument['settings']): Knobs {
  return Object.fromEntries(KNOB_NAMES.map((knob) => [knob, settings[knob].value])) as unknown as Knobs;
}
