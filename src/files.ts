/** Files that people name: refused, before they are read, if they have no end or are too large to be meant. */
import { statSync } from 'node:fs';
import { InputError } from './errors.js';

/** An InputError for a device, and for a file of more than `most` bytes. `expected` says what the file should be. A missing file passes. */
export function refuseEndless(path: string, expected: string, most: number): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  // A pipe is as good as a file; a device has no end.
  if (stat?.isCharacterDevice()) throw new InputError(`${path}: is a device; expected ${expected}`);
  if (stat && stat.size > most) throw new InputError(`${path}: is larger than ${most >> 20} MiB; expected ${expected}`);
}
