/** Reads numbers and strings one after the other, within bounds. */
import { InputError } from '../errors.js';
import { REMEDY } from './debug_sections.js';
import { nameProblem } from './strings.js';

export class Cursor {
  readonly #view: DataView;

  /** `place` names the data in messages; reading stops at offset `end`. */
  constructor(
    readonly data: Uint8Array,
    readonly place: string,
    public at: number,
    readonly end: number,
  ) {
    this.#view = new DataView(data.buffer, data.byteOffset, data.length);
  }

  refuse(message: string, at = this.at): never {
    throw new InputError(`${this.place} at offset 0x${at.toString(16)}: ${message}; ${REMEDY}`);
  }

  /** The offset before `count` bytes, which are passed. */
  #pass(count: number): number {
    const { at } = this;
    if (count > this.end - at)
      this.refuse(`${count} bytes are missing, for what is read ends at 0x${this.end.toString(16)}`);
    this.at = at + count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#pass(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#pass(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#pass(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#pass(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#pass(8), true);
  }

  skip(count: number): void {
    this.#pass(count);
  }

  /** A number of 4 bytes, or of 8 that is small enough to be exact. */
  word(size: 4 | 8): number {
    if (size === 4) return this.u32();
    const at = this.at;
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.refuse(`0x${value.toString(16)} is too large a number`, at);
    return Number(value);
  }

  /** DWARF 5, 7.6: unsigned LEB128. */
  uleb(): number {
    return this.#leb(false);
  }

  /** DWARF 5, 7.6: signed LEB128. */
  sleb(): number {
    return this.#leb(true);
  }

  #leb(signed: boolean): number {
    const start = this.at;
    let value = 0;
    for (let scale = 1; ; ) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      // 8 bytes hold 56 bits; some producers pad.
      if (this.at - start > 10 || value > Number.MAX_SAFE_INTEGER) this.refuse('the LEB128 number is too large', start);
      if ((byte & 0x80) === 0) return signed && (byte & 0x40) !== 0 ? value - scale : value;
    }
  }

  /** A string with its NUL. */
  string(): string {
    const { at, data } = this;
    const nul = data.indexOf(0, at);
    if (nul < 0 || nul >= this.end) return this.refuse('the string does not end before the data does');
    const problem = nameProblem(data, at, nul);
    if (problem !== undefined) return this.refuse(`the string ${problem}`);
    this.at = nul + 1;
    return Buffer.from(data.buffer, data.byteOffset + at, nul - at).toString();
  }
}
