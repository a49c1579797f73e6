/** Files that a command writes. */
import { statSync, writeFileSync } from 'node:fs';
import { InputError } from '../errors.js';

/** Throws if `output` is one of the files that were read, by whatever name. */
export function refuseSource(output: string, option: string, sources: Iterable<string>): void {
  const target = identity(output);
  if (target === undefined) return;
  for (const source of sources) {
    if (identity(source) === target) {
      throw new InputError(`${output}: is one of the source files; name another file with ${option}`);
    }
  }
}

/**
 * Writes the file that `option` names. With the flag `a` and no text it is made if it is missing and otherwise left alone:
 * that shows before a long search that it can be written.
 */
export function writeFile(option: string, file: string, text: string, flag: 'a' | 'w'): void {
  try {
    writeFileSync(file, text, { flag });
  } catch (error) {
    throw new InputError(`${option} ${file}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
  }
}

function identity(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return stat && `${stat.dev}:${stat.ino}`;
}
