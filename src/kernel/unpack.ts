/** Opens whatever a kernel comes in: a bzImage, a compressed vmlinux or hypervisor, or the ELF file itself. */
import { bzImagePayload, isBzImage } from './bzimage.js';
import { methodOf } from './compression.js';
import { PackedData } from './packed_data.js';

export interface UnpackedKernel {
  /** What was in it, mostly an ELF file; the bytes given, where nothing was packed. */
  readonly bytes: Uint8Array;
  /** What it was packed in: `bzImage, xz`, `gzip`; undefined where nothing was packed. */
  readonly container: string | undefined;
}

/** Unpacks the contents of `file`, as far as they are packed. Throws an InputError if they are damaged, or too large. */
export async function unpackKernel(bytes: Uint8Array, file: string): Promise<UnpackedKernel> {
  if (isBzImage(bytes)) {
    const { method, packed } = bzImagePayload(bytes, file);
    return { bytes: packed.checkUnpacked(await method.unpack(packed)), container: `bzImage, ${method.name}` };
  }
  const method = methodOf(bytes);
  if (!method) return { bytes, container: undefined };
  const packed = new PackedData(bytes, file, `${method.name} data`, 0, undefined);
  return { bytes: await method.unpack(packed), container: method.name };
}
