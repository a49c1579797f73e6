/** An image's memory while it is patched: what is read is what has been written so far; the image itself stays as it is. */
import { lastAt } from '../binary_search.js';
import type { Image, PlacedSection } from '../image/image.js';

export class PatchedMemory {
  /** By address; what is linked at other addresses than it is loaded at (per-CPU data) is no memory. */
  private readonly sections: readonly PlacedSection[];
  private readonly copies = new Map<PlacedSection, Uint8Array>();

  constructor(readonly image: Image) {
    this.sections = image.sections
      .filter((s) => s.address === s.loadAddress && s.size > 0)
      .sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** The section in which all bytes of a range lie. */
  sectionAt(address: bigint, size = 1): PlacedSection | undefined {
    const section = this.sections[lastAt(this.sections.length, (i) => this.sections[i]!.address <= address)];
    const inside = section && address - section.address + BigInt(size) <= BigInt(section.size);
    return inside ? section : undefined;
  }

  /** Whether all of a range is code. */
  isCode(address: bigint, size: number): boolean {
    return this.sectionAt(address, size)?.segment.endsWith('text') ?? false;
  }

  /** A copy of the bytes at an address, fewer where the section ends; undefined if nothing is there. */
  read(address: bigint, size: number): Uint8Array | undefined {
    const section = this.sectionAt(address);
    if (!section) return undefined;
    const offset = Number(address - section.address);
    const bytes = new Uint8Array(Math.min(size, section.size - offset));
    bytes.set(this.bytesOf(section).subarray(offset, offset + bytes.length));
    return bytes;
  }

  /** A pointer in memory. */
  pointer(address: bigint): bigint | undefined {
    const bytes = this.read(address, 8);
    return bytes?.length === 8 ? new DataView(bytes.buffer).getBigUint64(0, true) : undefined;
  }

  /** Text up to a zero byte, at most `most` bytes. */
  text(address: bigint, most: number): string | undefined {
    const bytes = this.read(address, most);
    const end = bytes?.indexOf(0) ?? -1;
    return bytes && end >= 0 ? Buffer.from(bytes.subarray(0, end)).toString('latin1') : undefined;
  }

  /** The range lies in one section: whoever writes has checked it. */
  write(address: bigint, bytes: Uint8Array): void {
    const section = this.sectionAt(address, bytes.length)!;
    let data = this.copies.get(section);
    if (!data) {
      data = new Uint8Array(section.size);
      data.set(section.data);
      this.copies.set(section, data);
    }
    data.set(bytes, Number(address - section.address));
  }

  /** What stands in a section now. */
  bytesOf(section: PlacedSection): Uint8Array {
    return this.copies.get(section) ?? section.data;
  }
}
