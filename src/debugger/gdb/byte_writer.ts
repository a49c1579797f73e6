/** Bytes that are written one value after the other, little-endian. */

export class ByteWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  /** Where `count` bytes more can be written. */
  #room(count: number): number {
    const at = this.length;
    if (at + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, at + count));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.length = at + count;
    return at;
  }

  u8(...values: readonly number[]): void {
    for (const value of values) this.#bytes[this.#room(1)] = value;
  }

  u16(value: number): void {
    this.#view.setUint16(this.#room(2), value, true);
  }

  u32(value: number): void {
    this.#view.setUint32(this.#room(4), value, true);
  }

  u64(value: bigint): void {
    this.#view.setBigUint64(this.#room(8), value, true);
  }

  /** DWARF 4, 7.6: seven bits in a byte, the lowest first. */
  uleb(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.u8((rest % 0x80) | 0x80);
    this.u8(rest);
  }

  /** The same for a signed number: bit 6 of the last byte is the sign. */
  sleb(value: number): void {
    let rest = value;
    for (; rest < -0x40 || rest >= 0x40; rest >>= 7) this.u8((rest & 0x7f) | 0x80);
    this.u8(rest & 0x7f);
  }

  /** With a NUL behind it. */
  string(text: string): void {
    this.bytes(Buffer.from(`${text}\0`));
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Writes what `body` writes, with its length, 4 bytes, in front (DWARF 4, 7.4). */
  withLength(body: () => void): void {
    const at = this.#room(4);
    body();
    this.#view.setUint32(at, this.length - at - 4, true);
  }

  done(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}
