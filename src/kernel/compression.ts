/** The methods that kernels are compressed with (Linux, init/Kconfig: CONFIG_KERNEL_GZIP and its neighbours), told by their magic. */
import { constants, gunzipSync } from 'node:zlib';
import { BZIP2_MAGIC, unpackBzip2 } from './bzip2.js';
import { LZ4_MAGIC, unpackLz4 } from './lz4.js';
import { LZMA_MAGIC, unpackLzma } from './lzma.js';
import { LZO_MAGIC, unpackLzo } from './lzo.js';
import { MOST_UNPACKED, type PackedData } from './packed_data.js';
import { unpackXz, XZ_MAGIC } from './xz.js';
import { unpackZstd, ZSTD_MAGIC } from './zstd.js';

export interface Method {
  readonly name: string;
  readonly magic: readonly number[];
  /** Whether the image's builder appends the size of what was unpacked (4 bytes); gzip ends with it anyway. */
  readonly sizeAppended: boolean;
  unpack(packed: PackedData): Promise<Uint8Array>;
}

const METHODS: readonly Method[] = [
  { name: 'gzip', magic: [0x1f, 0x8b, 8], sizeAppended: false, unpack: async (packed) => unpackGzip(packed) },
  { name: 'xz', magic: XZ_MAGIC, sizeAppended: true, unpack: unpackXz },
  { name: 'zstd', magic: ZSTD_MAGIC, sizeAppended: true, unpack: unpackZstd },
  { name: 'lz4', magic: LZ4_MAGIC, sizeAppended: true, unpack: async (packed) => unpackLz4(packed) },
  { name: 'lzo', magic: LZO_MAGIC, sizeAppended: true, unpack: async (packed) => unpackLzo(packed) },
  { name: 'bzip2', magic: BZIP2_MAGIC, sizeAppended: true, unpack: async (packed) => unpackBzip2(packed) },
  { name: 'lzma', magic: LZMA_MAGIC, sizeAppended: true, unpack: async (packed) => unpackLzma(packed) },
];

/** The method whose magic the bytes begin with. */
export function methodOf(bytes: Uint8Array): Method | undefined {
  return METHODS.find(({ magic }) => magic.every((byte, i) => bytes[i] === byte));
}

export const METHOD_NAMES = METHODS.map(({ name }) => name).join(', ');

/** RFC 1952. */
function unpackGzip(packed: PackedData): Uint8Array {
  const { bytes, view } = packed;
  const most = packed.size ?? MOST_UNPACKED;
  // What it says last is its size, unless several follow each other. Deflate makes nothing smaller than a 1032nd part.
  const last = bytes.length < 8 ? 0 : Math.min(view.getUint32(bytes.length - 4, true), 1032 * bytes.length, most);
  try {
    // A buffer of the final size, so that nothing is joined.
    const chunkSize = Math.max(constants.Z_MIN_CHUNK, last);
    return gunzipSync(bytes, { maxOutputLength: Math.max(1, most), chunkSize });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_BUFFER_TOO_LARGE') return packed.refuse(0, `cannot be unpacked (${message})`);
    if (packed.size === undefined) packed.checkSize(most + 1);
    return packed.refuse(0, `unpacks to more than the ${packed.size} bytes that it is said to have`);
  }
}
