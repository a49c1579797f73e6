/** Which Linux an image is, by what it says of itself. */
import type { PatchedMemory } from './memory.js';

export interface KernelVersion {
  /** 100 * major + minor: 601 for 6.1. */
  readonly number: number;
  /** `6.1.0-56-amd64` */
  readonly text: string;
}

const LONGEST = 512;

/** The version in `linux_banner`; undefined for an object, which has none. */
export function kernelVersion(memory: PatchedMemory): KernelVersion | undefined {
  const banner = memory.image.find('linux_banner')?.address;
  const text = banner === undefined ? undefined : memory.text(banner, LONGEST);
  const match = text && /^Linux version ((\d+)\.(\d+)\S*)/.exec(text);
  return match ? { number: 100 * Number(match[2]) + Number(match[3]), text: match[1]! } : undefined;
}
