/** An array of 32-bit words that grows. */
export class Words {
  array = new Uint32Array(1 << 10);
  length = 0;

  /** Makes room for `n` words behind the last one and returns where they begin. */
  extend(n: number): number {
    const at = this.length;
    if (at + n > this.array.length) {
      const grown = new Uint32Array(Math.max(at + n, 2 * this.array.length));
      grown.set(this.array);
      this.array = grown;
    }
    this.length = at + n;
    return at;
  }
}
