/** Files that people name: refused, before they are read, if they have no end or are too large to be meant. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { InputError } from './errors.js';

/** An InputError for a device, and for a file of more than `most` bytes. `expected` says what the file should be. A missing file passes. */
export function refuseEndless(path: string, expected: string, most: number): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  // A pipe is as good as a file; a device has no end.
  if (stat?.isCharacterDevice()) throw new InputError(`${path}: is a device; expected ${expected}`);
  if (stat && stat.size > most) throw new InputError(`${path}: is larger than ${most >> 20} MiB; expected ${expected}`);
}

/**
 * The bytes of a file. An InputError, which calls the file `name`, if it cannot be read; `expected` (`a path file (.json)`) and
 * `most` as in refuseEndless.
 */
export function readBytes(path: string, expected: string, most: number, name = path): Buffer {
  refuseEndless(path, expected, most);
  try {
    return statSync(path).size >= LARGE ? readShared(path) : readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? `is a directory; name ${expected}`
          : `cannot be read (${code})`;
    throw new InputError(`${name}: ${why}`);
  }
}

/** Files of so many bytes are kernels: all threads share their contents. */
const LARGE = 1 << 20;

function readShared(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.from(new SharedArrayBuffer(fstatSync(file).size));
    let length = 0;
    for (let n = -1; n !== 0; length += n) n = readSync(file, bytes, length, bytes.length - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/** What a JSON file holds, not yet checked; `remedy` ends the message for one that is no JSON. */
export function readJson(path: string, expected: string, most: number, remedy = ''): unknown {
  const text = readBytes(path, expected, most).toString();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(`${path}: is not JSON (${(error as Error).message})${remedy}`);
  }
}
