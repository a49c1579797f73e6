/** Compressed data as the kernel's makefiles make it, and the boot header around it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** The program and its arguments, from standard input to standard output (Linux, scripts/Makefile.lib, cmd_xzkern and so on). */
const PROGRAMS = {
  xz: ['xz', '--check=crc32', '--x86', '--lzma2=dict=32MiB', '-c'],
  zstd: ['zstd', '-q', '-19', '-c'],
  lz4: ['lz4', '-q', '-l', '-9', '-c', '-'],
  lzo: ['lzop', '-9', '-c'],
  bzip2: ['bzip2', '-9', '-c'],
  lzma: ['lzma', '-9', '-c'],
} as const;

export type MethodName = 'gzip' | keyof typeof PROGRAMS;
export const METHODS: readonly MethodName[] = ['gzip', ...(Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[])];

/** What `program` with `args` makes of the bytes; undefined where there is no such program. */
export function piped(bytes: Uint8Array, [program, ...args]: readonly [string, ...string[]]): Buffer | undefined {
  const { error, status, stdout, stderr } = spawnSync(program, args, { input: bytes, maxBuffer: 2 ** 30 });
  if (error && 'code' in error && error.code === 'ENOENT') return undefined;
  if (error) throw error;
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
  return stdout;
}

/** The bytes, compressed; undefined where this machine lacks the program for it (`make setup` installs it). */
export function compressed(method: MethodName, bytes: Uint8Array): Buffer | undefined {
  return method === 'gzip' ? gzipSync(bytes) : piped(bytes, PROGRAMS[method]);
}

export const programOf = (method: MethodName): string => (method === 'gzip' ? 'gzip' : PROGRAMS[method][0]);

/** The payload of a bzImage: of all methods but gzip, the unpacked size follows. */
export function payload(method: MethodName, packed: Uint8Array, size: number): Buffer {
  const field = Buffer.alloc(4);
  field.writeUInt32LE(size);
  return Buffer.concat(method === 'gzip' ? [packed] : [packed, field]);
}

export const SETUP_SECTORS = 2;
const DECOMPRESSOR = Buffer.alloc(300, 0x90);

/** Where `bzImage` puts the payload. */
export const PAYLOAD_AT = (SETUP_SECTORS + 1) * 512 + DECOMPRESSOR.length;

/** A bzImage around a payload: setup code with a header of protocol 2.15, some decompressor before and behind it. */
export function bzImage(packed: Uint8Array): Buffer {
  const setup = Buffer.alloc((SETUP_SECTORS + 1) * 512, 0xcc);
  setup.write('MZ', 0, 'latin1');
  setup.writeUInt8(SETUP_SECTORS, 0x1f1);
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write('HdrS', 0x202, 'latin1');
  setup.writeUInt16LE(0x20f, 0x206);
  setup.writeUInt32LE(DECOMPRESSOR.length, 0x248);
  setup.writeUInt32LE(packed.length, 0x24c);
  return Buffer.concat([setup, DECOMPRESSOR, packed, DECOMPRESSOR]);
}

/** Real x86 code (out of Node itself), for the filters, then what repeats, then what does not. `size` bytes. */
export function sample(size: number): Buffer {
  const program = readFileSync(process.execPath);
  const third = Math.ceil(size / 3);
  const code = program.subarray(program.length >> 1, (program.length >> 1) + third);
  const noise = Buffer.alloc(third);
  let state = 1;
  for (let i = 0; i < noise.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    noise[i] = state >>> 16;
  }
  return Buffer.concat([code, Buffer.alloc(third, 'entry code '), noise]).subarray(0, size);
}
