/** Debian's arch/x86/entry/entry_64.S, as it is or changed in one place, compiled or as text. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { SourceSettings } from '../../src/assembler/index.js';

/** A piece of text that occurs once, and what takes its place. */
export type Change = readonly [from: string, to: string];

/** entry_64.S of the downloaded tree (downloads/linux) with that change. */
export function entrySource(linux: string, change?: Change): string {
  const text = readFileSync(join(linux, 'tree/arch/x86/entry/entry_64.S'), 'utf8');
  if (change === undefined) return text;
  const parts = text.split(change[0]);
  if (parts.length !== 2) throw new Error(`entry_64.S: ${JSON.stringify(change[0])} occurs ${parts.length - 1} times`);
  return parts.join(change[1]);
}

/** What the kernel's makefiles give the compiler; paths are relative to downloads/linux. */
export function compilerFlags(linux: string): string[] {
  return readFileSync(join(linux, 'cppflags'), 'utf8').split('\n').filter(Boolean);
}

/** The same for the project's own assembler. */
export function assemblerSettings(linux: string): Pick<SourceSettings, 'defines' | 'includePaths' | 'forcedIncludes'> {
  const flags = compilerFlags(linux);
  const after = (option: string): string[] =>
    flags.filter((flag) => flag.startsWith(option)).map((flag) => flag.slice(option.length));
  return {
    includePaths: after('-I').map((path) => resolve(linux, path)),
    forcedIncludes: flags.filter((_, i) => flags[i - 1] === '-include').map((path) => resolve(linux, path)),
    defines: Object.fromEntries(after('-D').map((name) => [name, '1'])),
  };
}

/** Compiles the text into an object in the folder, and returns its path. */
export function compiled(linux: string, text: string, folder: string, name: string): string {
  const source = join(folder, `${name}.S`);
  writeFileSync(source, text);
  const object = join(folder, `${name}.o`);
  const { status, stderr } = spawnSync('gcc', [...compilerFlags(linux), '-c', '-o', object, source], {
    cwd: linux,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return object;
}
