/** What was packed comes out again, by each method, with and without a bzImage around it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { adler32, crc32, crc64 } from '../../src/kernel/checksums.js';
import { unpackLzma } from '../../src/kernel/lzma.js';
import { PackedData } from '../../src/kernel/packed_data.js';
import { unpackKernel } from '../../src/kernel/unpack.js';
import { generator } from '../support/random.js';
import { bzImage, compressed, METHODS, payload, piped, programOf, sample } from './packers.js';

/** More than one block of each method but lz4, whose blocks have 8 MiB. */
const BYTES = sample(1_500_000);

for (const method of METHODS) {
  test(`${method}: a bzImage`, async (t) => {
    const packed = compressed(method, BYTES);
    if (!packed) return t.skip(`there is no ${programOf(method)}: run make setup conformance`);
    const { bytes, container } = await unpackKernel(bzImage(payload(method, packed, BYTES.length)), 'vmlinuz');
    assert.equal(container, `bzImage, ${method}`);
    assert.equal(Buffer.compare(bytes, BYTES), 0);
  });

  // lzma does not say how large it is unpacked.
  test(`${method}: by itself`, { skip: method === 'lzma' }, async (t) => {
    const packed = compressed(method, BYTES);
    if (!packed) return t.skip(`there is no ${programOf(method)}: run make setup conformance`);
    const { bytes, container } = await unpackKernel(packed, 'vmlinux.packed');
    assert.equal(container, method);
    assert.equal(Buffer.compare(bytes, BYTES), 0);
  });
}

const VARIANTS: readonly (readonly [name: string, command: readonly [string, ...string[]]])[] = [
  ['xz without a filter, CRC-64', ['xz', '-c']],
  ['xz with SHA-256, several blocks', ['xz', '--check=sha256', '--block-size=300000', '--x86', '--lzma2', '-c']],
  ['xz without a check', ['xz', '--check=none', '-c']],
  ['xz, sizes in the block headers', ['xz', '-T2', '--block-size=500000', '-c']],
  ['xz whose filter starts elsewhere', ['xz', '--x86=start=4096', '--lzma2', '-c']],
  ['xz with data that is stored', ['xz', '-0', '-c']],
  ['zstd that says its size', ['zstd', '-q', '-c', '--stream-size=1500000']],
  ['zstd with a large window', ['zstd', '-q', '-22', '--ultra', '--long=27', '-c']],
  ['zstd, fast', ['zstd', '-q', '--fast=5', '--no-check', '-c']],
  ['lzop, fast', ['lzop', '-1', '-c']],
  ['lzop with CRC-32 and checksums of packed data', ['lzop', '-3', '--crc32', '-CC', '-c']],
  ['lzop without checksums', ['lzop', '-F', '-c']],
  ['bzip2 with small blocks', ['bzip2', '-1', '-c']],
  ['lz4, fast', ['lz4', '-q', '-l', '-1', '-c', '-']],
];

for (const [name, command] of VARIANTS) {
  test(name, async (t) => {
    const packed = piped(BYTES, command);
    if (!packed) return t.skip(`there is no ${command[0]}: run make setup conformance`);
    const { bytes } = await unpackKernel(packed, 'packed');
    assert.equal(Buffer.compare(bytes, BYTES), 0);
  });
}

test('xz: bytes that all look like calls', async (t) => {
  const random = generator(3);
  const frequent = [0xe8, 0xe9, 0x00, 0xff];
  const bytes = Buffer.from(Array.from({ length: 300_000 }, () => frequent[random() % 5] ?? random() & 0xff));
  const packed = compressed('xz', bytes);
  if (!packed) return t.skip('there is no xz: run make setup conformance');
  assert.equal(Buffer.compare((await unpackKernel(packed, 'packed')).bytes, bytes), 0);
});

test('lz4: several blocks', async (t) => {
  const bytes = sample(20_000_000);
  const packed = compressed('lz4', bytes);
  if (!packed) return t.skip('there is no lz4: run make setup conformance');
  assert.equal(Buffer.compare((await unpackKernel(packed, 'packed')).bytes, bytes), 0);
});

test('lzma with other properties', (t) => {
  for (const options of ['lc=0,lp=2,pb=0', 'lc=4,lp=0,pb=4', 'dict=4KiB,lc=1,lp=3,pb=1']) {
    const packed = piped(BYTES, ['xz', '--format=lzma', `--lzma1=${options}`, '-c']);
    if (!packed) return t.skip('there is no xz: run make setup conformance');
    const bytes = unpackLzma(new PackedData(packed, 'vmlinuz', 'payload', 0, BYTES.length));
    assert.equal(Buffer.compare(bytes, BYTES), 0, options);
  }
});

test('what is not packed is left as it is', async () => {
  const { bytes, container } = await unpackKernel(BYTES, 'vmlinux');
  assert.equal(bytes, BYTES);
  assert.equal(container, undefined);
});

test('checksums', () => {
  // The check values of the catalogue of parametrised CRC algorithms (CRC-32/ISO-HDLC, CRC-64/XZ), and RFC 1950.
  const check = Buffer.from('123456789');
  assert.equal(crc32(check), 0xcbf43926);
  assert.equal(crc64(check), 0x995dc9bbdf1939fan);
  assert.equal(adler32(check), 0x091e01de);
  assert.equal(crc32(Buffer.alloc(0)), 0);
});
