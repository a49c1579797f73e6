/** 32-bit words that become more. They lie in blocks, so that none is ever copied: a long path would leave more behind than it needs. */
const BITS = 14;
const BLOCK = 1 << BITS;

export class Words {
  length = 0;
  readonly #blocks: Uint32Array[] = [];

  get(i: number): number {
    return this.#blocks[i >>> BITS]![i & (BLOCK - 1)]!;
  }

  set(i: number, value: number): void {
    this.#blocks[i >>> BITS]![i & (BLOCK - 1)] = value;
  }

  push(value: number): void {
    const i = this.length++;
    if (i >>> BITS === this.#blocks.length) this.#blocks.push(new Uint32Array(BLOCK));
    this.#blocks[i >>> BITS]![i & (BLOCK - 1)] = value;
  }
}
