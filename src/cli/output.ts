/** Files that a command writes. */
import { statSync } from 'node:fs';
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

function identity(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
  return stat && `${stat.dev}:${stat.ino}`;
}
