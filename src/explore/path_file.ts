/** A saved path: what is needed to run one schedule again, strictly. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { InputError } from '../errors.js';
import { EVENT_KINDS } from '../harness/machine.js';
import { isContextFile } from '../platforms/boot.js';
import type { Failure } from './result.js';

const EVENT_NAMES = EVENT_KINDS as unknown as [string, ...string[]];

const pathFile = z.strictObject({
  entrace: z.literal('path/1'),
  /** SHA-256 of the linked image, context and stand-ins included. */
  image: z.string().regex(/^[0-9a-f]{64}$/),
  /** Source files, relative to this file. */
  files: z.array(z.string().min(1)).min(1),
  defines: z.record(z.string(), z.string()),
  platform: z.string(),
  profile: z.string(),
  context: z.string(),
  property: z.string(),
  path: z.array(
    z.strictObject({
      boundary: z.string(),
      hit: z.int().positive(),
      event: z.enum(EVENT_NAMES),
    }),
  ),
});

export type PathFile = z.infer<typeof pathFile>;

/** Reads and checks a path file; its `files`, and a `context` that is a file, come back as absolute paths. */
export function readPathFile(file: string): PathFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new InputError(
      `${file}: ${code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'is a directory; name a path file (.json)' : `cannot be read (${code})`}`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${file}: is not JSON (${(error as Error).message}); save it anew with explore --save`);
  }
  const parsed = pathFile.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length > 0 ? `field ${issue.path.join('.')}: ` : '';
    throw new InputError(`${file}: ${where}${issue.message}; save it anew with explore --save`);
  }
  const base = dirname(resolve(file));
  const { files, context } = parsed.data;
  return {
    ...parsed.data,
    files: files.map((f) => resolve(base, f)),
    context: isContextFile(context) ? resolve(base, context) : context,
  };
}

/** Writes one file for each failure into `directory`; returns their names. */
export function savePaths(
  directory: string,
  failures: readonly Failure[],
  common: Omit<PathFile, 'entrace' | 'property' | 'path'>,
): string[] {
  makeDirectory(directory);
  return failures.map((failure) => {
    const base = `${failure.property}-${failure.event}-${failure.boundary}`.replace(/[^\w.+-]/g, '_');
    const name = join(directory, `${base}.json`);
    const file: PathFile = {
      entrace: 'path/1',
      ...common,
      files: common.files.map((f) => relativeTo(directory, f)),
      context: isContextFile(common.context) ? relativeTo(directory, common.context) : common.context,
      property: failure.property,
      path: failure.path.map(({ boundary, hit, event }) => ({ boundary, hit, event })),
    };
    try {
      writeFileSync(name, `${JSON.stringify(file, null, 2)}\n`);
    } catch (error) {
      throw new InputError(`--save ${directory}: ${name} cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
    return name;
  });
}

/** Makes the directory that --save names, unless it is there. */
export function makeDirectory(directory: string): void {
  try {
    // Node's own `recursive` never returns where a file system has no directories to make, as in /proc.
    const missing: string[] = [];
    for (let at = resolve(directory); !existsSync(at); at = dirname(at)) missing.unshift(at);
    for (const at of missing) mkdirSync(at);
    if (!statSync(directory).isDirectory()) throw Object.assign(new Error('is a file'), { code: 'ENOTDIR' });
  } catch (error) {
    throw new InputError(`--save ${directory}: cannot make the directory (${(error as NodeJS.ErrnoException).code})`);
  }
}

function relativeTo(directory: string, file: string): string {
  return relative(resolve(directory), resolve(file));
}
