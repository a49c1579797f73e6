/** A compressed piece of a file, and how big what is in it may be. */
import { InputError } from '../errors.js';

/** Nothing that is unpacked may be larger: a kernel of Debian has 63 MiB, and one with all debug information is no boot image. Bytes. */
export const MOST_UNPACKED = 512 * 1024 * 1024;

export class PackedData {
  readonly view: DataView;

  constructor(
    /** A view, not a copy. */
    readonly bytes: Uint8Array,
    readonly file: string,
    /** What this is, for messages: `payload (xz)`. */
    readonly what: string,
    /** Offset of `bytes` in the file. */
    readonly offset: number,
    /** The size that the file says it has unpacked, in bytes, where it says one. */
    readonly size: number | undefined,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (size !== undefined) this.checkSize(size);
  }

  /** An InputError about the byte `at` of these. */
  refuse(at: number, problem: string): never {
    throw new InputError(
      `${this.file}: ${this.what} at offset 0x${(this.offset + at).toString(16)}: ${problem}; the file is damaged or cut off: get it again`,
    );
  }

  /** `count` bytes from `at` must be there; `part` says what they are. */
  need(at: number, count: number, part: string): void {
    if (at + count > this.bytes.length) {
      this.refuse(at, `${part} takes ${count} bytes, but ${Math.max(0, this.bytes.length - at)} are left`);
    }
  }

  /** Refuses to unpack more than the limit. */
  checkSize(size: number): number {
    if (size > MOST_UNPACKED) {
      throw new InputError(
        `${this.file}: ${this.what} at offset 0x${this.offset.toString(16)}: would unpack to ${size} bytes or more, over the limit of ${MOST_UNPACKED >> 20} MiB: unpack it yourself and give the vmlinux if it is meant`,
      );
    }
    return size;
  }

  /** What was unpacked must be as large as the file says. */
  checkUnpacked(bytes: Uint8Array): Uint8Array {
    if (this.size !== undefined && bytes.length !== this.size) {
      this.refuse(0, `unpacks to ${bytes.length} bytes, but is said to have ${this.size}`);
    }
    return bytes;
  }
}
