/**
 * The set of visited states: an open-addressing table of 96-bit fingerprints, 16 bytes an entry, with the number of the
 * chain that the state belongs to. Two different states share a fingerprint with a probability below n²/2^97.
 */

const ENTRY = 4;
const LOAD = 0.75;

export class VisitedSet {
  size = 0;
  #slots: number;
  /** Entries at which the table grows. */
  #limit: number;
  #table: Int32Array;

  constructor(slots = 1 << 8) {
    this.#slots = slots;
    this.#limit = slots * LOAD - 1;
    this.#table = new Int32Array(slots * ENTRY);
  }

  /** How many entries there is room for before the table grows. */
  get slots(): number {
    return this.#slots;
  }

  get bytes(): number {
    return this.#table.byteLength;
  }

  /** Bytes that the next growth would need while it copies. */
  get bytesToGrow(): number {
    return this.size >= this.#limit ? this.bytes * 3 : this.bytes;
  }

  /** The chain of a state (three signed 32-bit lanes) that is in the set; otherwise enters it with `chain`: -1. */
  enter(a: number, b: number, c: number, chain: number): number {
    if (this.size >= this.#limit) this.#grow();
    const table = this.#table;
    const mask = this.#slots - 1;
    let slot = (a ^ (b >>> 7)) & mask;
    for (;;) {
      const at = slot * ENTRY;
      const owner = table[at + 3]!;
      if (owner === 0) {
        table[at] = a;
        table[at + 1] = b;
        table[at + 2] = c;
        table[at + 3] = chain + 1;
        this.size++;
        return -1;
      }
      if (table[at] === a && table[at + 1] === b && table[at + 2] === c) return owner - 1;
      slot = (slot + 1) & mask;
    }
  }

  /** The chain of a state that is in the set; -1 if it is not. */
  find(a: number, b: number, c: number): number {
    const table = this.#table;
    const mask = this.#slots - 1;
    let slot = (a ^ (b >>> 7)) & mask;
    for (;;) {
      const at = slot * ENTRY;
      const owner = table[at + 3]!;
      if (owner === 0) return -1;
      if (table[at] === a && table[at + 1] === b && table[at + 2] === c) return owner - 1;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#slots *= 2;
    this.#limit = this.#slots * LOAD - 1;
    const table = new Int32Array(this.#slots * ENTRY);
    const mask = this.#slots - 1;
    for (let at = 0; at < old.length; at += ENTRY) {
      if (old[at + 3] === 0) continue;
      let slot = (old[at]! ^ (old[at + 1]! >>> 7)) & mask;
      while (table[slot * ENTRY + 3] !== 0) slot = (slot + 1) & mask;
      const to = slot * ENTRY;
      table[to] = old[at]!;
      table[to + 1] = old[at + 1]!;
      table[to + 2] = old[at + 2]!;
      table[to + 3] = old[at + 3]!;
    }
    this.#table = table;
  }
}
