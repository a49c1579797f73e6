/** Damaged and hostile images: one clear line each. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { unpackKernel } from '../../src/kernel/unpack.js';
import { bzImage, compressed, METHODS, type MethodName, PAYLOAD_AT, payload, programOf, sample } from './packers.js';

const BYTES = sample(400_000);

async function refused(bytes: Uint8Array, message: RegExp): Promise<void> {
  await assert.rejects(unpackKernel(bytes, 'vmlinuz'), (error) => {
    assert.ok(error instanceof InputError, String((error as Error).stack));
    assert.match(error.message, message);
    assert.match(error.message, /^vmlinuz: [^\n]+$/);
    return true;
  });
}

const gzipped = payload('gzip', compressed('gzip', BYTES)!, BYTES.length);
const changed = (image: Buffer, change: (image: Buffer) => void): Buffer => {
  const copy = Buffer.from(image);
  change(copy);
  return copy;
};

const HEADER_CASES: readonly (readonly [name: string, bytes: () => Buffer, message: RegExp])[] = [
  ['the header is cut off', () => bzImage(gzipped).subarray(0, 0x220), /is a bzImage, but ends after 544 bytes/],
  [
    'no boot flag',
    () => changed(bzImage(gzipped), (b) => b.writeUInt16LE(0, 0x1fe)),
    /not the boot flag 0xaa55 at offset 0x1fe/,
  ],
  [
    'an old protocol',
    () => changed(bzImage(gzipped), (b) => b.writeUInt16LE(0x207, 0x206)),
    /has boot protocol 2\.07, which does not say where the payload is/,
  ],
  [
    'the payload ends beyond the file',
    () => changed(bzImage(gzipped), (b) => b.writeUInt32LE(0x7fffffff, 0x24c)),
    /the payload, 2147483647 bytes at offset 0x72c \(header field 0x248\), ends beyond the file's/,
  ],
  [
    'the payload begins beyond the file',
    () => changed(bzImage(gzipped), (b) => b.writeUInt32LE(0xffffffff, 0x248)),
    /ends beyond the file's/,
  ],
  [
    'an unknown magic',
    () => changed(bzImage(gzipped), (b) => b.write('nothing', PAYLOAD_AT)),
    /begins with 6e 6f 74 68 69 6e; known are gzip, xz, zstd, lz4, lzo, bzip2, lzma: unpack it/,
  ],
  ['no payload', () => bzImage(Buffer.alloc(0)), /begins with nothing; known are/],
];

for (const [name, bytes, message] of HEADER_CASES) test(name, () => refused(bytes(), message));

/** Offset in the compressed data: near its begin, in the middle, shortly before its end. */
const places = (length: number): readonly number[] => [Math.floor(length / 3), Math.floor(length / 2), length - 40];

for (const method of METHODS) {
  const packed = compressed(method, BYTES);
  const image = (data: Uint8Array, size = BYTES.length): Buffer => bzImage(payload(method, data, size));
  const skip = packed ? false : `there is no ${programOf(method)}: run make setup conformance`;

  test(`${method}: a stream that is cut off`, { skip }, async () => {
    for (const length of [...places(packed!.length), packed!.length - 1]) {
      // Behind what gzip has left stands another size than the real one.
      await refused(image(packed!.subarray(0, length)), new RegExp(`payload \\(${method}\\) at offset 0x`));
    }
    await refused(image(packed!.subarray(0, 12)), new RegExp(`payload \\(${method}\\) at offset 0x`));
  });

  test(`${method}: a stream that is damaged`, { skip: skip || !hasChecksum(method) }, async () => {
    for (const at of places(packed!.length)) {
      await refused(
        image(changed(packed!, (b) => b.writeUInt8(b[at]! ^ 0x55, at))),
        new RegExp(`payload \\(${method}\\) at offset 0x`),
      );
    }
  });

  test(`${method}: another size than the image says`, { skip: skip || method === 'gzip' }, async () => {
    for (const size of [BYTES.length - 1, BYTES.length + 1, 1]) {
      await refused(image(packed!, size), /is said to have|more than its size says|ends after|cannot be unpacked/);
    }
  });

  test(`${method}: more than the limit`, { skip: skip || method === 'gzip' }, () =>
    refused(image(packed!, 0x7fffffff), /would unpack to 2147483647 bytes or more, over the limit of 512 MiB/),
  );
}

/** lz4's legacy frame and lzma have no checksum: the kernel's own decompressor would not notice either. */
function hasChecksum(method: MethodName): boolean {
  return method !== 'lz4' && method !== 'lzma';
}

test('gzip: a size that is too small', () =>
  refused(
    bzImage(changed(gzipped, (b) => b.writeUInt32LE(1000, b.length - 4))),
    /unpacks to more than the 1000 bytes that it is said to have/,
  ));

/** 600 MiB of zeros. */
for (const method of METHODS) {
  test(`${method}: a bomb`, { skip: method === 'lzo' }, async (t) => {
    // 600 times a part, where parts may follow each other; elsewhere, more than the image says.
    const part = compressed(method, Buffer.alloc(2 ** 20));
    if (!part) return t.skip(`there is no ${programOf(method)}: run make setup conformance`);
    const before = process.memoryUsage.rss();
    if (method === 'lz4') {
      const block = part.subarray(4);
      await refused(Buffer.concat([part.subarray(0, 4), ...new Array<Buffer>(600).fill(block)]), /over the limit/);
    } else if (method === 'gzip' || method === 'zstd') {
      await refused(Buffer.concat(new Array<Buffer>(600).fill(part)), /over the limit/);
    } else if (method === 'xz') {
      // Stream header and block header have 12 bytes each; the first chunk says its packed size in bytes 3 and 4.
      const chunk = part.subarray(24, 24 + 6 + part.readUInt16BE(24 + 3) + 1);
      const bomb = Buffer.concat([part.subarray(0, 24), ...new Array<Buffer>(600).fill(chunk), part.subarray(24)]);
      await refused(bomb, /over the limit/);
      await refused(bzImage(payload(method, part, 1000)), /unpacks to 1048576 bytes, but is said to have 1000/);
    } else {
      await refused(bzImage(payload(method, part, 1000)), /more than its size says|cannot be unpacked/);
    }
    t.diagnostic(`${((process.memoryUsage.rss() - before) / 2 ** 20).toFixed(0)} MiB more`);
  });
}

/** One block of LZ4, as a file. */
function lz4File(...block: readonly number[]): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length);
  return Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), size, Buffer.from(block)]);
}

/** One block of LZO1X that is said to unpack to `size` bytes, as lzop writes it, without checksums. */
function lzoFile(size: number, ...block: readonly number[]): Buffer {
  const header = [0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a, 0x10, 0x30, 0x20, 0xa0, 0x09, 0x40, 1, 5];
  const rest = new Array<number>(4 + 4 + 4 + 4 + 1 + 4).fill(0);
  return Buffer.from([...header, ...rest, 0, 0, 0, size, 0, 0, 0, block.length, ...block, 0, 0, 0, 0]);
}

const A = 0x41;
const STREAMS: readonly (readonly [name: string, bytes: Buffer, message: RegExp])[] = [
  ['lz4: a match before the block', lz4File(0x10, A, 2, 0, 0), /an LZ4 match refers to what lies before its block/],
  ['lz4: a match of distance 0', lz4File(0x10, A, 0, 0, 0), /an LZ4 match refers to what lies before its block/],
  ['lz4: literals beyond the block', lz4File(0x50, A), /literals of an LZ4 sequence end beyond their block/],
  ['lz4: half a distance', lz4File(0x10, A, 1), /an LZ4 block ends within a sequence/],
  ['lz4: a length that does not end', lz4File(0xf0, 255, 255), /an LZ4 block ends within a sequence/],
  [
    'lz4: more than a block',
    lz4File(0x1f, A, 1, 0, ...new Array<number>(40_000).fill(255), 0),
    /unpacks to more than its size says/,
  ],
  ['lzo: a match before the block', lzoFile(20, 18, A, 0x40, 1, 17, 0, 0), /an LZO match refers to what lies before/],
  ['lzo: literals beyond the stream', lzoFile(20, 25, A), /literals of an LZO stream end beyond it/],
  ['lzo: no end', lzoFile(20, 18, A), /an LZO stream ends within an instruction/],
  ['lzo: an early end', lzoFile(20, 18, A, 17, 0, 0), /an LZO stream does not end as it should/],
  ['lzo: a match beyond its size', lzoFile(7, 18, A, 0xe0, 0, 17, 0), /unpacks to more than its size says/],
  ['lzo: a block that is larger packed', lzoFile(1, 18, A), /an lzop block of 2 bytes cannot unpack to 1/],
  ['lzo: an unknown method', changed(lzoFile(1, A), (b) => b.writeUInt8(9, 15)), /lzop method 9 is not LZO1X/],
  ['lzo: a filter', changed(lzoFile(1, A), (b) => b.writeUInt8(8, 19)), /lzop filters are not known/],
];

for (const [name, bytes, message] of STREAMS) test(name, () => refused(bytes, message));

test('lzma: a match before the output', () => {
  // The header, and a stream of which each bit is 1: a match that repeats the last distance.
  const size = 1000;
  const packed = Buffer.from([
    0x5d,
    0,
    0,
    0,
    4,
    size & 0xff,
    size >> 8,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    ...new Array<number>(50).fill(0xff),
  ]);
  return refused(packed, /LZMA data refers to what lies before the output/);
});

test('zstd: a damaged file that does not say its size', async (t) => {
  const packed = compressed('zstd', BYTES);
  if (!packed) return t.skip('there is no zstd: run make setup conformance');
  const at = packed.length >> 1;
  await refused(changed(packed, (b) => b.writeUInt8(b[at]! ^ 0x55, at)), /zstd data at offset 0x0: cannot be unpacked/); // biome-ignore format: one line
});

test('lzo: what could not be made smaller is stored', async () => {
  const { bytes } = await unpackKernel(lzoFile(3, A, A, A), 'vmlinuz');
  assert.equal(Buffer.from(bytes).toString(), 'AAA');
});
