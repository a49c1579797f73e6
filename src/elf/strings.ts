/** String tables (gABI, String Table): names by their offset, with its bounds checked. */
import { InputError } from '../errors.js';

/** All names that one table gives, together: without a limit, many entries that share one long name would fill memory. Bytes. */
const MOST = 256 * 1024 * 1024;

/** Longer than any path, and than the names that compilers make for kernels. Bytes. */
const LONGEST = 4096;

/** Why the bytes from `at` up to `end` are no name; undefined if they are one. Names are printed, on lines with others. */
export function nameProblem(bytes: Uint8Array, at: number, end: number): string | undefined {
  if (end - at > LONGEST) return `has ${end - at} bytes, more than ${LONGEST}`;
  for (let i = at; i < end; i++) {
    const byte = bytes[i]!;
    if (byte < 0x20 || byte === 0x7f) return `has the control character 0x${byte.toString(16).padStart(2, '0')}`;
  }
  return undefined;
}

export class StringTable {
  readonly #text: Buffer;
  #given = 0;

  /** `place` names the table in messages: file and section. */
  constructor(
    data: Uint8Array,
    private readonly place: string,
  ) {
    this.#text = Buffer.from(data.buffer, data.byteOffset, data.length);
  }

  /** The name at `offset`; `user` says whose name it is. */
  at(offset: number, user: string): string {
    // An offset of 0 in an empty table is no name (gABI, String Table).
    if (offset === 0 && this.#text.length === 0) return '';
    if (offset >= this.#text.length) {
      throw new InputError(
        `${this.place}: the name of ${user} is at offset 0x${offset.toString(16)}, outside the table of 0x${this.#text.length.toString(16)} bytes; the file is damaged, make it anew`,
      );
    }
    const end = this.#text.indexOf(0, offset);
    if (end < 0) {
      throw new InputError(
        `${this.place}: the name of ${user} at offset 0x${offset.toString(16)} does not end before the table does; the file is damaged, make it anew`,
      );
    }
    this.#given += end - offset;
    const problem =
      this.#given > MOST
        ? `and those before it have more than ${MOST >> 20} MiB together`
        : nameProblem(this.#text, offset, end);
    if (problem !== undefined) {
      throw new InputError(
        `${this.place}: the name of ${user} at offset 0x${offset.toString(16)} ${problem}; the file is damaged, make it anew`,
      );
    }
    return this.#text.toString('utf8', offset, end);
  }
}
