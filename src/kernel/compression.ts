/** The methods that kernels are compressed with (Linux, init/Kconfig: CONFIG_KERNEL_GZIP and its neighbours), told by their magic. */
import { constants, gunzipSync } from 'node:zlib';
import { MOST_UNPACKED, type PackedData } from './packed_data.js';
import { unpackXz, XZ_MAGIC } from './xz.js';

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
];

/** The method whose magic the bytes begin with. */
export function methodOf(bytes: Uint8Array): Method | undefined {
  return METHODS.find(({ magic }) => magic.every((byte, i) => bytes[i] === byte));
}

export const METHOD_NAMES = METHODS.map(({ name }) => name).join(', ');

function unpackGzip(packed: PackedData): Uint8Array {
  const most = packed.size ?? MOST_UNPACKED;
  try {
    // A buffer of the final size, so that nothing is joined.
    const chunkSize = Math.min(Math.max(constants.Z_MIN_CHUNK, packed.size ?? 1 << 20), MOST_UNPACKED);
    return gunzipSync(packed.bytes, { maxOutputLength: Math.max(1, most), chunkSize });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_BUFFER_TOO_LARGE') return packed.refuse(0, `cannot be unpacked (${message})`);
    if (packed.size === undefined) packed.checkSize(Number.POSITIVE_INFINITY);
    return packed.refuse(0, `unpacks to more than the ${packed.size} bytes that it is said to have`);
  }
}
