/**
 * Linux's bzImage: real-mode setup code with a header, the decompressor, and in it the compressed vmlinux.
 * Source: Linux, Documentation/x86/boot.rst ("The Real-Mode Kernel Header", payload_offset).
 */
import { InputError } from '../errors.js';
import { METHOD_NAMES, type Method, methodOf } from './compression.js';
import { PackedData } from './packed_data.js';

const AT = {
  setup_sects: 0x1f1,
  boot_flag: 0x1fe,
  header: 0x202,
  version: 0x206,
  payload_offset: 0x248,
  payload_length: 0x24c,
} as const;
const BOOT_FLAG = 0xaa55;
const MAGIC = 'HdrS';
/** payload_offset and payload_length came with protocol 2.08 (Linux 2.6.26). */
const PAYLOAD_SINCE = 0x208;
const SECTOR = 512;
/** The builder appends the unpacked size (Linux, scripts/Makefile.lib, size_append). */
const SIZE_FIELD = 4;

/** Whether the file begins like a bzImage: enough to be treated, and refused, as one. */
export function isBzImage(bytes: Uint8Array): boolean {
  return (
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1', AT.header, AT.header + 4) === MAGIC
  );
}

/** The compressed vmlinux in a bzImage. */
export function bzImagePayload(bytes: Uint8Array, file: string): { method: Method; packed: PackedData } {
  const refuse = (message: string): never => {
    throw new InputError(`${file}: ${message}`);
  };
  const end = AT.payload_length + 4;
  if (bytes.length < end) {
    refuse(`is a bzImage, but ends after ${bytes.length} bytes, within its header of ${end}: get it again`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(AT.boot_flag, true) !== BOOT_FLAG) {
    refuse('has the "HdrS" of a bzImage, but not the boot flag 0xaa55 at offset 0x1fe: get it again');
  }
  const version = view.getUint16(AT.version, true);
  if (version < PAYLOAD_SINCE) {
    refuse(
      `has boot protocol ${version >> 8}.${String(version & 0xff).padStart(2, '0')}, which does not say where the payload is (2.08 does): unpack it and give the vmlinux`,
    );
  }
  const protectedMode = ((bytes[AT.setup_sects] || 4) + 1) * SECTOR;
  const offset = protectedMode + view.getUint32(AT.payload_offset, true);
  const length = view.getUint32(AT.payload_length, true);
  if (offset + length > bytes.length) {
    refuse(
      `the payload, ${length} bytes at offset 0x${offset.toString(16)} (header field 0x248), ends beyond the file's ${bytes.length} bytes: get it again`,
    );
  }
  const payload = bytes.subarray(offset, offset + length);
  const method = methodOf(payload);
  if (!method || length <= SIZE_FIELD) {
    const begin = [...payload.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    return refuse(
      `the payload at offset 0x${offset.toString(16)} begins with ${begin || 'nothing'}; known are ${METHOD_NAMES}: unpack it and give the vmlinux`,
    );
  }
  const size = view.getUint32(offset + length - SIZE_FIELD, true);
  const stream = method.sizeAppended ? payload.subarray(0, length - SIZE_FIELD) : payload;
  return { method, packed: new PackedData(stream, file, `payload (${method.name})`, offset, size) };
}
