/**
 * Unpacks lzop files. Source: Linux, Documentation/staging/lzo.rst (the stream of LZO1X), lib/decompress_unlzo.c (the
 * container). There is no package for it that this program may use, or that checks bounds.
 */
import { adler32, crc32 } from './checksums.js';
import type { PackedData } from './packed_data.js';

export const LZO_MAGIC = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a];

/** Flags of the header: which checksums each block has, and what the header itself has. */
const FLAG = {
  ADLER32_UNPACKED: 0x1,
  ADLER32_PACKED: 0x2,
  EXTRA_FIELD: 0x40,
  CRC32_UNPACKED: 0x100,
  CRC32_PACKED: 0x200,
  FILTER: 0x800,
} as const;
/** From this version on the header has a level, a version to unpack it, and the high half of the time. */
const LONG_HEADER = 0x940;
/** lzop's own limit. Bytes. */
const MOST_BLOCK = 64 * 1024 * 1024;

interface Block {
  /** Of its checksums, and behind them its bytes, in the data. */
  readonly sumsAt: number;
  readonly at: number;
  readonly packedSize: number;
  readonly size: number;
}

export function unpackLzo(packed: PackedData): Uint8Array {
  const { flags, at: first } = readHeader(packed);
  const blocks: Block[] = [];
  let total = 0;
  for (let at = first; ; ) {
    packed.need(at, 4, 'the size of an lzop block');
    const size = packed.view.getUint32(at);
    if (size === 0) break;
    const block = readBlock(packed, at, size, flags);
    blocks.push(block);
    total = packed.checkSize(total + size);
    at = block.at + block.packedSize;
  }
  if (packed.size !== undefined && total !== packed.size) {
    packed.refuse(0, `unpacks to ${total} bytes, but is said to have ${packed.size}`);
  }
  const out = new Uint8Array(total);
  const sums = UNPACKED_SUMS.filter(([flag]) => flags & flag);
  let done = 0;
  for (const { sumsAt, at, packedSize, size } of blocks) {
    const target = out.subarray(done, done + size);
    if (packedSize === size) target.set(packed.bytes.subarray(at, at + size));
    else unpackLzo1x(packed, at, at + packedSize, target);
    sums.forEach(([, sum], i) => {
      if (sum(target) !== packed.view.getUint32(sumsAt + 4 * i)) {
        packed.refuse(at, 'what was unpacked does not have the checksum that is stored');
      }
    });
    done += size;
  }
  return out;
}

/** The checksums of what was unpacked, in the order in which they stand before a block's bytes; those of what is packed follow. */
const UNPACKED_SUMS = [
  [FLAG.ADLER32_UNPACKED, adler32],
  [FLAG.CRC32_UNPACKED, crc32],
] as const;
const PACKED_SUMS = [FLAG.ADLER32_PACKED, FLAG.CRC32_PACKED];

function readHeader(packed: PackedData): { flags: number; at: number } {
  const { view } = packed;
  let at: number = LZO_MAGIC.length;
  const field = (size: 1 | 2 | 4): number => {
    packed.need(at, size, 'the header of lzop');
    const value = size === 4 ? view.getUint32(at) : size === 2 ? view.getUint16(at) : view.getUint8(at);
    at += size;
    return value;
  };
  const version = field(2);
  field(2);
  if (version >= LONG_HEADER) field(2);
  const method = field(1);
  if (method < 1 || method > 3) packed.refuse(at - 1, `lzop method ${method} is not LZO1X (1, 2 or 3)`);
  if (version >= LONG_HEADER) field(1);
  const flags = field(4);
  if (flags & FLAG.FILTER) packed.refuse(at - 4, 'lzop filters are not known');
  field(4);
  field(4);
  if (version >= LONG_HEADER) field(4);
  const name = field(1);
  packed.need(at, name, 'the name in the header of lzop');
  at += name;
  field(4);
  if (flags & FLAG.EXTRA_FIELD) {
    const extra = field(4);
    packed.need(at, extra, 'the extra field of lzop');
    at += extra;
    field(4);
  }
  return { flags, at };
}

function readBlock(packed: PackedData, start: number, size: number, flags: number): Block {
  packed.need(start, 8, 'the sizes of an lzop block');
  const packedSize = packed.view.getUint32(start + 4);
  if (size > MOST_BLOCK || packedSize > size || packedSize === 0) {
    packed.refuse(start, `an lzop block of ${packedSize} bytes cannot unpack to ${size}`);
  }
  const sumsAt = start + 8;
  let at = sumsAt + 4 * UNPACKED_SUMS.filter(([flag]) => flags & flag).length;
  // A block that could not be made smaller is stored, without a checksum of its packed form.
  if (packedSize < size) at += 4 * PACKED_SUMS.filter((flag) => flags & flag).length;
  packed.need(at, packedSize, 'an lzop block');
  return { sumsAt, at, packedSize, size };
}

/** Literals behind the last match: 1 to 3 of them, or a run of its own (4), change what a small instruction byte means. */
const RUN = 4;
/** The first byte of a stream, above this, is a number of literals. */
const FIRST_LITERALS = 17;

/** Unpacks one stream of LZO1X, which must fill `out`. The names of the four kinds of matches are their first bytes. */
function unpackLzo1x(packed: PackedData, from: number, end: number, out: Uint8Array): void {
  const { bytes } = packed;
  let at = from;
  let done = 0;
  const next = (): number => {
    if (at >= end) packed.refuse(at, 'an LZO stream ends within an instruction');
    return bytes[at++]!;
  };
  /** A length: what the instruction holds or, if that is 0, `all` and what the bytes up to the first that is not 0 say. */
  const length = (held: number, all: number): number => {
    if (held !== 0) return held;
    let sum = all;
    for (let byte = next(); ; byte = next()) {
      sum += byte === 0 ? 255 : byte;
      if (byte !== 0 || sum > MOST_BLOCK) return sum;
    }
  };
  const literals = (count: number): void => {
    if (at + count > end) packed.refuse(at, 'the literals of an LZO stream end beyond it');
    if (done + count > out.length) packed.refuse(at, 'unpacks to more than its size says');
    for (const stop = done + count; done < stop; done++) out[done] = bytes[at++]!;
  };
  const match = (distance: number, count: number): void => {
    if (distance > done) packed.refuse(at, 'an LZO match refers to what lies before its block');
    if (done + count > out.length) packed.refuse(at, 'unpacks to more than its size says');
    for (const stop = done + count; done < stop; done++) out[done] = out[done - distance]!;
  };
  let state = 0;
  if (bytes[at]! > FIRST_LITERALS) {
    const count = next() - FIRST_LITERALS;
    literals(count);
    state = Math.min(count, RUN);
  }
  for (;;) {
    const byte = next();
    let tail: number;
    if (byte >= 64) {
      tail = byte & 3;
      const count = byte >= 128 ? 5 + ((byte >> 5) & 3) : 3 + ((byte >> 5) & 1);
      match((next() << 3) + ((byte >> 2) & 7) + 1, count);
    } else if (byte >= 16) {
      const near = byte >= 32;
      const count = 2 + (near ? length(byte & 31, 31) : length(byte & 7, 7));
      const low = next() | (next() << 8);
      tail = low & 3;
      const distance = near ? (low >> 2) + 1 : 16384 + ((byte & 8) << 11) + (low >> 2);
      if (distance === 16384 && !near) {
        if (at !== end || done !== out.length) packed.refuse(at, 'an LZO stream does not end as it should');
        return;
      }
      match(distance, count);
    } else if (state === 0) {
      literals(3 + length(byte, 15));
      state = RUN;
      continue;
    } else {
      tail = byte & 3;
      const distance = (next() << 2) + (byte >> 2) + 1;
      if (state === RUN) match(distance + 2048, 3);
      else match(distance, 2);
    }
    literals(tail);
    state = tail;
  }
}
