/**
 * Unpacks Zstandard (RFC 8878) with the npm package zstddec (the reference decoder, as WebAssembly, which compares checksums).
 * The frames are read here first: how large they are unpacked, or at most.
 */
import type { PackedData } from './packed_data.js';

export const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** 0x184d2a50 to 0x184d2a5f: a frame to skip. */
const SKIPPABLE = 0x184d2a5;
const MAGIC = 0xfd2fb528;
/** Section 3.1.1.2.4: no block unpacks to more. */
const MOST_BLOCK = 128 * 1024;
const RLE = 1;
const RESERVED = 3;

export async function unpackZstd(packed: PackedData): Promise<Uint8Array> {
  const most = packed.checkSize(packed.size ?? sizeOf(packed));
  const { ZSTDDecoder } = await import('zstddec');
  const decoder = new ZSTDDecoder();
  await decoder.init();
  let bytes: Uint8Array;
  try {
    // It takes a size of 0 for one that is not known.
    bytes = decoder.decode(packed.bytes, Math.max(1, most));
  } catch {
    return packed.refuse(0, 'cannot be unpacked');
  }
  // This is how it tells that something is wrong.
  if (bytes.length === 0) packed.refuse(0, 'cannot be unpacked');
  return bytes;
}

/** The bytes of all frames, where they say it; where one does not, as many as its blocks may have. */
function sizeOf(packed: PackedData): number {
  const { bytes, view } = packed;
  let sum = 0;
  for (let at = 0; at < bytes.length; ) {
    packed.need(at, 8, 'the header of a Zstandard frame');
    const magic = view.getUint32(at, true);
    if (magic >>> 4 === SKIPPABLE) {
      at += 8 + view.getUint32(at + 4, true);
      continue;
    }
    if (magic !== MAGIC) packed.refuse(at, 'is no Zstandard frame');
    const frame = readFrame(packed, at + 4);
    sum = packed.checkSize(sum + frame.size);
    at = frame.end;
  }
  return sum;
}

/** Section 3.1.1. */
function readFrame(packed: PackedData, start: number): { end: number; size: number } {
  const { bytes, view } = packed;
  const descriptor = bytes[start]!;
  const single = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? single : 1 << sizeFlag;
  const sizeAt = start + 1 + (1 - single) + [0, 1, 2, 4][descriptor & 3]!;
  packed.need(start, sizeAt + sizeBytes - start, 'the header of a Zstandard frame');
  let size: number | undefined;
  if (sizeBytes === 1) size = view.getUint8(sizeAt);
  else if (sizeBytes === 2) size = view.getUint16(sizeAt, true) + 256;
  else if (sizeBytes === 4) size = view.getUint32(sizeAt, true);
  else if (sizeBytes === 8) size = Number(view.getBigUint64(sizeAt, true));
  let at = sizeAt + sizeBytes;
  let blocks = 0;
  for (let last = false; !last; blocks++) {
    packed.need(at, 3, 'the header of a Zstandard block');
    const header = view.getUint16(at, true) | (bytes[at + 2]! << 16);
    const type = (header >> 1) & 3;
    if (type === RESERVED) packed.refuse(at, 'a Zstandard block has the reserved type');
    last = (header & 1) !== 0;
    at += 3 + (type === RLE ? 1 : header >> 3);
  }
  const end = at + (descriptor & 4 ? 4 : 0);
  packed.need(start, end - start, 'a Zstandard frame');
  return { end, size: size ?? blocks * MOST_BLOCK };
}
