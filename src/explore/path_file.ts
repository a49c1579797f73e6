/** A saved path: what is needed to run one schedule again, strictly. */
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { ASSEMBLERS, type Assembler, type SourceSettings } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { readJson } from '../files.js';
import { eventNamed } from '../harness/events.js';
import type { Image } from '../image/image.js';
import { platformNamed } from '../platforms/index.js';
import { type CodeSettings, isContextFile, loadSubject, type Subject } from '../platforms/subject.js';
import { type ChosenProfile, checkChanges, chooseProfile } from '../profiles/profile.js';
import { isProfileFile } from '../profiles/profile_file.js';
import type { Failure, ScheduledEvent } from './result.js';

function isEvent(name: string): boolean {
  try {
    return eventNamed(name).name === name;
  } catch {
    return false;
  }
}

/** Bytes; a path has a few hundred. */
const MAX_FILE = 1 << 20;

const REMEDY = '; save it anew with explore --save';

const pathFile = z.strictObject({
  entrace: z.literal('path/1'),
  /** SHA-256 of the linked image, context and stand-ins included. */
  image: z.string().regex(/^[0-9a-f]{64}$/),
  /** Source files, relative to this file. */
  files: z.array(z.string().min(1)).min(1),
  defines: z.record(z.string(), z.string()),
  /** As -I and -include: relative to this file. */
  include: z.array(z.string().min(1)).optional(),
  includeFile: z.array(z.string().min(1)).optional(),
  assembler: z.enum(ASSEMBLERS).optional(),
  /** As --features, --stub and --through. */
  features: z.array(z.string()).optional(),
  stubs: z.array(z.strictObject({ name: z.string(), file: z.string().optional() })).optional(),
  through: z.array(z.string()).optional(),
  platform: z.string(),
  /** A name, or a file, relative to this file. */
  profile: z.string(),
  /** Knobs that --knob has changed. */
  knobs: z.record(z.string(), z.union([z.boolean(), z.string()])).optional(),
  /** SHA-256 of all knobs of a profile that is a file. */
  rules: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  context: z.string(),
  property: z.string(),
  path: z.array(
    z.strictObject({
      boundary: z.string(),
      hit: z.int().positive(),
      event: z.string().refine(isEvent, 'is no event'),
    }),
  ),
});

export type PathFile = z.infer<typeof pathFile>;

/** What it says of the image and what is around it. */
export type SavedImage = Omit<PathFile, 'entrace' | 'property' | 'path'>;

/** Reads and checks a path file; its `files`, a `context` and a `profile` that are files, come back as absolute paths. */
export function readPathFile(file: string): PathFile {
  const parsed = pathFile.safeParse(readJson(file, 'a path file (.json)', MAX_FILE, REMEDY));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length > 0 ? `field ${issue.path.join('.')}: ` : '';
    throw new InputError(`${file}: ${where}${issue.message}${REMEDY}`);
  }
  const base = dirname(resolve(file));
  const { files, context, profile, include, includeFile, stubs } = parsed.data;
  return {
    ...parsed.data,
    files: files.map((f) => resolve(base, f)),
    ...(include ? { include: include.map((f) => resolve(base, f)) } : {}),
    ...(includeFile ? { includeFile: includeFile.map((f) => resolve(base, f)) } : {}),
    ...(stubs ? { stubs: stubs.map((stub) => withFile(stub, (f) => resolve(base, f))) } : {}),
    context: isContextFile(context) ? resolve(base, context) : context,
    profile: isProfileFile(profile) ? resolve(base, profile) : profile,
  };
}

/** Whether a file is one that can be read; false for everything else. */
export function isPathFile(file: string): boolean {
  try {
    readPathFile(file);
    return true;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** The fields that say how the sources are read. */
export function savedSources(
  settings: SourceSettings,
): Pick<PathFile, 'defines' | 'include' | 'includeFile' | 'assembler'> {
  const { defines = {}, includePaths = [], forcedIncludes = [], assembler = 'keystone' } = settings;
  return {
    defines: { ...defines },
    ...(includePaths.length > 0 ? { include: [...includePaths] } : {}),
    ...(forcedIncludes.length > 0 ? { includeFile: [...forcedIncludes] } : {}),
    ...(assembler === 'keystone' ? {} : { assembler }),
  };
}

/** The fields that say how real code is run. */
export function savedCode({
  features,
  stubs = [],
  through = [],
}: CodeSettings): Pick<PathFile, 'features' | 'stubs' | 'through'> {
  return {
    ...(features === undefined ? {} : { features: [...features] }),
    ...(stubs.length > 0
      ? { stubs: stubs.map(({ name, file }) => (file === undefined ? { name } : { name, file })) }
      : {}),
    ...(through.length > 0 ? { through: [...through] } : {}),
  };
}

/** The fields that say by which rules of the silicon the path runs. */
export function savedRules({ given, changes, rules }: ChosenProfile): Pick<PathFile, 'profile' | 'knobs' | 'rules'> {
  return {
    profile: given,
    ...(Object.keys(changes).length > 0 ? { knobs: changes } : {}),
    ...(rules === undefined ? {} : { rules }),
  };
}

/** What a path file says of how real code is run. */
function codeOf({ features, stubs = [], through = [] }: PathFile): CodeSettings {
  return { features, stubs: stubs.map(({ name, file }) => ({ name, file })), through };
}

/** The profile that a path was recorded under; an InputError if its file says something else by now. */
export function savedProfile(saved: PathFile): ChosenProfile {
  const chosen = chooseProfile(saved.profile, checkChanges(saved.knobs ?? {}));
  if (saved.rules !== undefined && saved.rules !== chosen.rules) {
    const now = chosen.rules === undefined ? 'is no file' : `now gives ${chosen.rules.slice(0, 12)}…`;
    throw new InputError(
      `was recorded under other rules (sha256 ${saved.rules.slice(0, 12)}…, profile ${relativeTo('.', saved.profile)} ${now}); explore again with --save`,
    );
  }
  return chosen;
}

/** The image of a path file, as its files give it now. Rejects with an InputError for whatever is wrong with them. */
export async function subjectOf(assembler: Assembler, saved: PathFile): Promise<Subject> {
  return loadSubject(assembler, {
    files: saved.files,
    platform: platformNamed(saved.platform),
    context: saved.context,
    vendor: savedProfile(saved).profile.vendor,
    defines: saved.defines,
    includePaths: saved.include ?? [],
    forcedIncludes: saved.includeFile ?? [],
    assembler: saved.assembler ?? 'keystone',
    ...codeOf(saved),
  });
}

/** Throws if the files of a path now give another image than the one that it was recorded on. */
export function refuseOtherImage(file: string, saved: PathFile, image: Image): void {
  if (image.hash === saved.image) return;
  throw new InputError(
    `${file}: was recorded on another image (sha256 ${saved.image.slice(0, 12)}…, the files now give ${image.hash.slice(0, 12)}…); explore again with --save`,
  );
}

function withFile<T extends { file?: string | undefined }>(stub: T, change: (file: string) => string): T {
  return stub.file === undefined ? stub : { ...stub, file: change(stub.file) };
}

/** Writes one file for each failure into `directory`; returns their names. */
export function savePaths(directory: string, failures: readonly Failure[], common: SavedImage): string[] {
  makeDirectory(directory);
  return failures.map((failure) => {
    const base = `${failure.property}-${failure.event}-${failure.boundary}`.replace(/[^\w.+-]/g, '_');
    const name = join(directory, `${base}.json`);
    writePath(name, '--save ', common, failure);
    return name;
  });
}

/** Writes one path file; what it names is relative to it. `option` says in messages who asked for it. */
export function writePath(
  name: string,
  option: string,
  common: SavedImage,
  { property, path }: Pick<Failure, 'property'> & { readonly path: readonly Omit<ScheduledEvent, 'address'>[] },
): void {
  const directory = dirname(name);
  const file: PathFile = {
    entrace: 'path/1',
    ...common,
    files: common.files.map((f) => relativeTo(directory, f)),
    ...(common.include ? { include: common.include.map((f) => relativeTo(directory, f)) } : {}),
    ...(common.stubs ? { stubs: common.stubs.map((s) => withFile(s, (f) => relativeTo(directory, f))) } : {}),
    ...(common.includeFile ? { includeFile: common.includeFile.map((f) => relativeTo(directory, f)) } : {}),
    context: isContextFile(common.context) ? relativeTo(directory, common.context) : common.context,
    profile: isProfileFile(common.profile) ? profilePath(directory, common.profile) : common.profile,
    property,
    path: path.map(({ boundary, hit, event }) => ({ boundary, hit, event })),
  };
  try {
    writeFileSync(name, `${JSON.stringify(file, null, 2)}\n`);
  } catch (error) {
    throw new InputError(`${option}${name}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Makes the directory that an option names, unless it is there. */
export function makeDirectory(directory: string, option = '--save'): void {
  try {
    // Node's own `recursive` never returns where a file system has no directories to make, as in /proc.
    const missing: string[] = [];
    for (let at = resolve(directory); !existsSync(at); at = dirname(at)) missing.unshift(at);
    for (const at of missing) mkdirSync(at);
    if (!statSync(directory).isDirectory()) throw Object.assign(new Error('is a file'), { code: 'ENOTDIR' });
  } catch (error) {
    throw new InputError(
      `${option} ${directory}: cannot make the directory (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

/** With a slash always: a path without one would be taken for a name. */
function profilePath(directory: string, file: string): string {
  const path = relativeTo(directory, file);
  return path.includes('/') ? path : `./${path}`;
}

function relativeTo(directory: string, file: string): string {
  return relative(resolve(directory), resolve(file));
}
