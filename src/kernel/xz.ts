/**
 * Unpacks .xz (The .xz File Format, version 1.2.1) with the npm package xz-decompress (XZ Embedded, as WebAssembly).
 *
 * That package knows no filters but LZMA2, and kernels are packed with the x86 filter. So the container is read here, which
 * also tells the exact size before anything is unpacked; the package gets each block as a stream of its own without filters;
 * the filter is undone, and the block's checksum compared, afterwards.
 */
import { createHash } from 'node:crypto';
import { crc32, crc64 } from './checksums.js';
import type { PackedData } from './packed_data.js';
import { undoX86Filter } from './x86_filter.js';

export const XZ_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];

const HEADER_SIZE = 12;
const FOOTER_MAGIC = [0x59, 0x5a];
const FILTER = { X86: 0x04, LZMA2: 0x21 } as const;
/** Size in bytes of each check that can be verified, by its ID (section 2.1.1.2). */
const CHECK_SIZES = new Map([
  [0, 0],
  [1, 4],
  [4, 8],
  [10, 32],
]);

interface Block {
  /** Of its header, in the data. */
  readonly at: number;
  readonly chunksAt: number;
  readonly chunksEnd: number;
  readonly size: number;
  /** As the LZMA2 filter's property encodes it (section 5.3.1). */
  readonly dictionary: number;
  /** Where the x86 filter begins to count, undefined without it. */
  readonly x86From: number | undefined;
}

export async function unpackXz(packed: PackedData): Promise<Uint8Array> {
  const { blocks, check } = readStream(packed);
  const size = packed.checkSize(blocks.reduce((sum, block) => sum + block.size, 0));
  if (packed.size !== undefined && size !== packed.size) {
    packed.refuse(0, `unpacks to ${size} bytes, but is said to have ${packed.size}`);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const block of blocks) {
    const out = bytes.subarray(at, at + block.size);
    await unpackBlock(packed, block, out);
    if (block.x86From !== undefined) undoX86Filter(out, block.x86From);
    verify(packed, check, align4(block.chunksEnd), out);
    at += block.size;
  }
  return bytes;
}

const align4 = (at: number): number => (at + 3) & ~3;

/** A number of up to 63 bits, 7 in each byte (section 1.2). */
class Numbers {
  constructor(
    private readonly packed: PackedData,
    public at: number,
    private readonly end: number,
  ) {}

  next(what: string): number {
    let value = 0;
    for (let shift = 0; shift < 63; shift += 7) {
      if (this.at >= this.end) this.packed.refuse(this.at, `${what} does not end`);
      const byte = this.packed.bytes[this.at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return value;
    }
    return this.packed.refuse(this.at, `${what} does not end`);
  }
}

function checkCrc(packed: PackedData, at: number, size: number, stored: number, what: string): void {
  if (crc32(packed.bytes.subarray(at, at + size)) !== packed.view.getUint32(stored, true)) {
    packed.refuse(at, `the checksum of ${what} is wrong`);
  }
}

function readStream(packed: PackedData): { blocks: Block[]; check: number } {
  const { bytes } = packed;
  packed.need(0, HEADER_SIZE, 'the stream header of xz');
  checkCrc(packed, 6, 2, 8, 'the stream header');
  const check = bytes[7]!;
  const checkSize = CHECK_SIZES.get(check);
  if (bytes[6] !== 0 || checkSize === undefined) {
    return packed.refuse(6, `the integrity check ${check} is not one that xz writes (0, 1, 4 or 10)`);
  }
  const blocks: Block[] = [];
  const sizes: number[] = [];
  let at = HEADER_SIZE;
  for (;;) {
    packed.need(at, 1, 'a block header or the index');
    if (bytes[at] === 0) break;
    const block = readBlock(packed, at);
    packed.need(align4(block.chunksEnd), checkSize, 'the integrity check');
    blocks.push(block);
    sizes.push(block.chunksEnd - at + checkSize);
    packed.checkSize(blocks.reduce((sum, { size }) => sum + size, 0));
    at = align4(block.chunksEnd) + checkSize;
  }
  readIndex(packed, at, blocks, sizes);
  return { blocks, check };
}

/** Sections 4 and 2.1.2: what the index and the footer say must be what was read. */
function readIndex(packed: PackedData, start: number, blocks: readonly Block[], sizes: readonly number[]): void {
  const numbers = new Numbers(packed, start + 1, packed.bytes.length);
  if (numbers.next('the number of blocks') !== blocks.length) {
    packed.refuse(start, `the index does not list the ${blocks.length} blocks that there are`);
  }
  blocks.forEach((block, i) => {
    if (numbers.next('a size in the index') !== sizes[i] || numbers.next('a size in the index') !== block.size) {
      packed.refuse(start, `the index gives block ${i + 1} another size than it has`);
    }
  });
  const end = align4(numbers.at);
  packed.need(end, 4 + 12, 'the checksum of the index and the stream footer');
  checkCrc(packed, start, end - start, end, 'the index');
  checkCrc(packed, end + 8, 6, end + 4, 'the stream footer');
  if (FOOTER_MAGIC.some((byte, i) => packed.bytes[end + 14 + i] !== byte)) {
    packed.refuse(end + 14, 'the stream footer does not end with "YZ"');
  }
  if (packed.bytes.subarray(end + 16).some((byte) => byte !== 0)) {
    packed.refuse(end + 16, 'something follows the end of the stream');
  }
}

/** Section 3. */
function readBlock(packed: PackedData, at: number): Block {
  const { bytes } = packed;
  const headerSize = (bytes[at]! + 1) * 4;
  packed.need(at, headerSize, 'a block header');
  const end = at + headerSize - 4;
  checkCrc(packed, at, headerSize - 4, end, 'a block header');
  const flags = bytes[at + 1]!;
  if (flags & 0x3c) packed.refuse(at + 1, 'a block header has unknown flags');
  const numbers = new Numbers(packed, at + 2, end);
  const packedSize = flags & 0x40 ? numbers.next('the size of a block') : undefined;
  const size = flags & 0x80 ? numbers.next('the size of a block') : undefined;
  let x86From: number | undefined;
  let dictionary: number | undefined;
  for (let filter = 0; filter <= (flags & 3); filter++) {
    const id = numbers.next('a filter');
    const length = numbers.next('the properties of a filter');
    const properties = numbers.at;
    if (properties + length > end) packed.refuse(properties, 'the properties of a filter do not end');
    numbers.at += length;
    const isLast = filter === (flags & 3);
    if (id === FILTER.LZMA2 && isLast && length === 1 && bytes[properties]! <= 40) dictionary = bytes[properties]!;
    else if (id === FILTER.X86 && filter === 0 && !isLast && (length === 0 || length === 4)) {
      x86From = length === 4 ? packed.view.getUint32(properties, true) : 0;
    } else
      packed.refuse(at, `a block uses filter 0x${id.toString(16)}; known are the x86 filter before LZMA2, and LZMA2`);
  }
  if (dictionary === undefined) return packed.refuse(at, 'a block is not packed with LZMA2');
  const chunks = walkChunks(packed, at + headerSize);
  if (
    (packedSize !== undefined && packedSize !== chunks.end - (at + headerSize)) ||
    (size !== undefined && size !== chunks.size)
  ) {
    packed.refuse(at, 'a block has another size than its header says');
  }
  return { at, chunksAt: at + headerSize, chunksEnd: chunks.end, size: chunks.size, dictionary, x86From };
}

/** LZMA2: chunks that say both of their sizes, up to a zero byte. */
function walkChunks(packed: PackedData, start: number): { end: number; size: number } {
  const { bytes, view } = packed;
  let size = 0;
  for (let at = start; ; ) {
    packed.need(at, 1, 'an LZMA2 chunk');
    const control = bytes[at]!;
    if (control === 0) return { end: at + 1, size };
    if (control > 2 && control < 0x80) packed.refuse(at, `0x${control.toString(16)} begins no LZMA2 chunk`);
    packed.need(at, 6, 'the header of an LZMA2 chunk');
    if (control <= 2) {
      const length = view.getUint16(at + 1) + 1;
      size += length;
      at += 3 + length;
    } else {
      size += ((control & 0x1f) << 16) + view.getUint16(at + 1) + 1;
      at += (control >= 0xc0 ? 6 : 5) + view.getUint16(at + 3) + 1;
    }
  }
}

/** Bytes of a dictionary (section 5.3.1). */
const dictionarySize = (bits: number): number =>
  bits === 40 ? 2 ** 32 - 1 : (2 | (bits & 1)) * 2 ** ((bits >> 1) + 11);

async function unpackBlock(packed: PackedData, block: Block, out: Uint8Array): Promise<void> {
  // A dictionary larger than what is unpacked is never used, but would be allocated.
  let dictionary = 0;
  while (dictionary < block.dictionary && dictionarySize(dictionary) < block.size) dictionary++;
  const pieces = plainStream(packed.bytes.subarray(block.chunksAt, block.chunksEnd), block.size, dictionary);
  const { default: xz } = await import('xz-decompress');
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  let at = 0;
  try {
    for await (const chunk of new xz.XzReadableStream(source)) {
      out.set(chunk, at);
      at += chunk.length;
    }
  } catch {
    packed.refuse(block.at, 'this block of LZMA2 data cannot be unpacked');
  }
  if (at !== out.length) packed.refuse(block.at, 'this block of LZMA2 data is shorter than its chunks say');
}

/** A stream of one block without filters and checks. */
function plainStream(chunks: Uint8Array, size: number, dictionary: number): Uint8Array[] {
  const streamFlags = [0, 0];
  const header = [...XZ_MAGIC, ...streamFlags, ...crcOf(streamFlags)];
  const blockHeader = [2, 0, FILTER.LZMA2, 1, dictionary, 0, 0, 0];
  blockHeader.push(...crcOf(blockHeader));
  const index = [0, 1, ...number(blockHeader.length + chunks.length), ...number(size)];
  while (index.length % 4 !== 0) index.push(0);
  index.push(...crcOf(index));
  const backward = bytes32(index.length / 4 - 1);
  const footer = [...crcOf([...backward, ...streamFlags]), ...backward, ...streamFlags, ...FOOTER_MAGIC];
  const padding = new Array<number>(align4(chunks.length) - chunks.length).fill(0);
  return [new Uint8Array([...header, ...blockHeader]), chunks, new Uint8Array([...padding, ...index, ...footer])];
}

const bytes32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const crcOf = (bytes: readonly number[]): number[] => bytes32(crc32(new Uint8Array(bytes)));

function number(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

function verify(packed: PackedData, check: number, at: number, bytes: Uint8Array): void {
  const { view } = packed;
  const right =
    check === 0 ||
    (check === 1 && crc32(bytes) === view.getUint32(at, true)) ||
    (check === 4 && crc64(bytes) === view.getBigUint64(at, true)) ||
    (check === 10 &&
      createHash('sha256')
        .update(bytes)
        .digest()
        .equals(packed.bytes.subarray(at, at + 32)));
  if (!right) packed.refuse(at, 'what was unpacked does not have the checksum that is stored here');
}
