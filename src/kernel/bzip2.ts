/** Unpacks bzip2 with the npm package seek-bzip (JavaScript, which compares checksums). */
import bunzip from 'seek-bzip';
import { InputError } from '../errors.js';
import { MOST_UNPACKED, type PackedData } from './packed_data.js';

export const BZIP2_MAGIC = [0x42, 0x5a, 0x68];

/** What one block unpacks to, where the size is not known: the buffer grows by so many bytes. */
const GROWTH = 16 * 1024 * 1024;

/** The package takes what is missing for ones. */
class Source extends bunzip.Stream {
  #at = 0;

  constructor(private readonly packed: PackedData) {
    super();
  }

  readByte(): number {
    const byte = this.packed.bytes[this.#at];
    if (byte === undefined) return this.packed.refuse(this.#at, 'ends too early');
    this.#at++;
    return byte;
  }
}

export function unpackBzip2(packed: PackedData): Uint8Array {
  const limit = packed.size ?? MOST_UNPACKED;
  let out = new Uint8Array(packed.size ?? GROWTH);
  let done = 0;
  const target = {
    writeByte(byte: number): void {
      if (done === out.length) {
        if (done === limit) {
          if (packed.size === undefined) packed.checkSize(done + 1);
          packed.refuse(0, 'unpacks to more than its size says');
        }
        const larger = new Uint8Array(Math.min(limit, 2 * out.length));
        larger.set(out);
        out = larger;
      }
      out[done++] = byte;
    },
  };
  try {
    bunzip.decode(new Source(packed), target);
  } catch (error) {
    if (error instanceof InputError) throw error;
    packed.refuse(0, `cannot be unpacked (${error instanceof Error ? error.message : error})`);
  }
  return out.subarray(0, done);
}
