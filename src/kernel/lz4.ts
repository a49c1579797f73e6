/**
 * Unpacks LZ4's legacy frames, which kernels use (`lz4 -l`). Source: LZ4 Frame Format Description ("Legacy frame") and LZ4
 * Block Format Description. The package for it (lz4js) checks no bounds.
 */
import type { PackedData } from './packed_data.js';

export const LZ4_MAGIC = [0x02, 0x21, 0x4c, 0x18];

/** What a block unpacks to, unless it is the last. */
const BLOCK_SIZE = 8 * 1024 * 1024;
const MIN_MATCH = 4;
/** A nibble of this value goes on in the bytes that follow. */
const LONG = 15;

export function unpackLz4(packed: PackedData): Uint8Array {
  const blocks: { at: number; end: number }[] = [];
  for (let at = LZ4_MAGIC.length; at < packed.bytes.length; ) {
    packed.need(at, 4, 'the size of an LZ4 block');
    const size = packed.view.getUint32(at, true);
    packed.need(at + 4, size, 'an LZ4 block');
    blocks.push({ at: at + 4, end: at + 4 + size });
    at += 4 + size;
  }
  const most = Math.min(blocks.length * BLOCK_SIZE, packed.size ?? Number.POSITIVE_INFINITY);
  const out = new Uint8Array(packed.checkSize(most));
  let done = 0;
  for (const { at, end } of blocks) done = unpackBlock(packed, at, end, out, done);
  return out.subarray(0, done);
}

/** Unpacks one block to `start` in `out`, and returns where it ended. */
function unpackBlock(packed: PackedData, from: number, end: number, out: Uint8Array, start: number): number {
  const { bytes } = packed;
  const limit = Math.min(out.length, start + BLOCK_SIZE);
  let at = from;
  let done = start;
  const next = (): number => {
    if (at >= end) packed.refuse(at, 'an LZ4 block ends within a sequence');
    return bytes[at++]!;
  };
  const length = (nibble: number): number => {
    let sum = nibble;
    if (nibble === LONG) {
      let byte: number;
      do {
        byte = next();
        sum += byte;
      } while (byte === 255);
    }
    return sum;
  };
  while (at < end) {
    const token = next();
    const literals = length(token >> 4);
    if (at + literals > end) packed.refuse(at, 'the literals of an LZ4 sequence end beyond their block');
    if (done + literals > limit) packed.refuse(at, 'unpacks to more than its size says');
    out.set(bytes.subarray(at, at + literals), done);
    at += literals;
    done += literals;
    // The last sequence is literals only.
    if (at === end) break;
    const distance = next() | (next() << 8);
    const match = MIN_MATCH + length(token & 15);
    if (distance === 0 || distance > done - start)
      packed.refuse(at, 'an LZ4 match refers to what lies before its block');
    if (done + match > limit) packed.refuse(at, 'unpacks to more than its size says');
    for (const stop = done + match; done < stop; done++) out[done] = out[done - distance]!;
  }
  return done;
}
