/**
 * The set of visited states: an open-addressing table of 96-bit fingerprints, 16 bytes an entry, with the number of the
 * chain that the state belongs to. Two different states share a fingerprint with a probability below n²/2^97.
 *
 * Beside it, a byte for each entry says whether it is in use, and seven bits of its fingerprint. Most states that are
 * looked up are new: these bytes, which stay in the processor's cache, mostly say so alone, and nothing has to wait
 * for the entries, which lie all over the memory.
 */

const ENTRY = 4;
const LOAD = 0.75;

/** The byte of an entry with this third lane; 0 is that of a free one. */
function tagOf(c: number): number {
  return (c >>> 25) | 0x80;
}

export class VisitedSet {
  size = 0;
  #slots: number;
  /** Entries at which the table grows. */
  #limit: number;
  #table: Int32Array;
  #tags: Uint8Array;

  constructor(slots = 1 << 8) {
    this.#slots = slots;
    this.#limit = slots * LOAD - 1;
    this.#table = new Int32Array(slots * ENTRY);
    this.#tags = new Uint8Array(slots);
  }

  /** How many entries there is room for before the table grows. */
  get slots(): number {
    return this.#slots;
  }

  get bytes(): number {
    return this.#table.byteLength + this.#tags.byteLength;
  }

  /** Bytes that the next growth would need while it copies. */
  get bytesToGrow(): number {
    return this.size >= this.#limit ? this.bytes * 3 : this.bytes;
  }

  /** The chain of a state (three signed 32-bit lanes) that is in the set; otherwise enters it with `chain`: -1. */
  enter(a: number, b: number, c: number, chain: number): number {
    if (this.size >= this.#limit) this.#grow();
    const table = this.#table;
    const tags = this.#tags;
    const tag = tagOf(c);
    const mask = this.#slots - 1;
    let slot = (a ^ (b >>> 7)) & mask;
    for (;;) {
      const found = tags[slot]!;
      const at = slot * ENTRY;
      if (found === 0) {
        tags[slot] = tag;
        table[at] = a;
        table[at + 1] = b;
        table[at + 2] = c;
        table[at + 3] = chain;
        this.size++;
        return -1;
      }
      if (found === tag && table[at] === a && table[at + 1] === b && table[at + 2] === c) return table[at + 3]!;
      slot = (slot + 1) & mask;
    }
  }

  /** The chain of a state that is in the set; -1 if it is not. */
  find(a: number, b: number, c: number): number {
    const table = this.#table;
    const tags = this.#tags;
    const tag = tagOf(c);
    const mask = this.#slots - 1;
    let slot = (a ^ (b >>> 7)) & mask;
    for (;;) {
      const found = tags[slot]!;
      if (found === 0) return -1;
      const at = slot * ENTRY;
      if (found === tag && table[at] === a && table[at + 1] === b && table[at + 2] === c) return table[at + 3]!;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#table;
    const oldTags = this.#tags;
    this.#slots *= 2;
    this.#limit = this.#slots * LOAD - 1;
    const table = new Int32Array(this.#slots * ENTRY);
    const tags = new Uint8Array(this.#slots);
    const mask = this.#slots - 1;
    for (let i = 0; i < oldTags.length; i++) {
      if (oldTags[i] === 0) continue;
      const at = i * ENTRY;
      let slot = (old[at]! ^ (old[at + 1]! >>> 7)) & mask;
      while (tags[slot] !== 0) slot = (slot + 1) & mask;
      const to = slot * ENTRY;
      tags[slot] = oldTags[i]!;
      table[to] = old[at]!;
      table[to + 1] = old[at + 1]!;
      table[to + 2] = old[at + 2]!;
      table[to + 3] = old[at + 3]!;
    }
    this.#table = table;
    this.#tags = tags;
  }
}
