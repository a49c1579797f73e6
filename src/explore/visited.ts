/**
 * The set of visited states: an open-addressing table of 96-bit fingerprints, 16 bytes an entry, with the number of the
 * chain that the state belongs to. Two different states share a fingerprint with a probability below n²/2^97.
 *
 * What takes the time here is waiting for memory. So
 *
 * - each path (Monitor.path, a part of the state) has a table of its own: while a path is explored, its table stays in the
 *   processor's cache;
 * - a byte for each entry says whether it is in use, and seven bits of its fingerprint: most states that are looked up are
 *   new, and these bytes mostly say so alone.
 */

const ENTRY = 4;
const LOAD = 0.75;
const FIRST_SLOTS = 1 << 6;

/** The byte of an entry with this third lane; 0 is that of a free one. */
function tagOf(c: number): number {
  return (c >>> 25) | 0x80;
}

/** The states of one path. */
class Table {
  size = 0;
  #slots: number;
  /** Entries at which the table grows. */
  #limit: number;
  #table: Int32Array;
  #tags: Uint8Array;

  constructor(slots: number) {
    this.#slots = slots;
    this.#limit = slots * LOAD - 1;
    this.#table = new Int32Array(slots * ENTRY);
    this.#tags = new Uint8Array(slots);
  }

  get slots(): number {
    return this.#slots;
  }

  get bytes(): number {
    return this.#table.byteLength + this.#tags.byteLength;
  }

  get full(): boolean {
    return this.size >= this.#limit;
  }

  enter(a: number, b: number, c: number, chain: number): number {
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

  grow(): void {
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

export class VisitedSet {
  /** States in it. */
  size = 0;
  bytes = 0;
  readonly #tables: (Table | undefined)[] = [];

  /** `slots`: how many entries the tables of the paths have room for at first, by the numbers of the paths. */
  constructor(readonly first: readonly number[] = []) {}

  /** How many entries the tables have room for, by the numbers of the paths. */
  get slots(): number[] {
    return Array.from(this.#tables, (table) => table?.slots ?? FIRST_SLOTS);
  }

  /** Bytes that the next growth would need while it copies. */
  get bytesToGrow(): number {
    const most = this.#tables.reduce((most, table) => (table?.full ? Math.max(most, table.bytes) : most), 0);
    return this.bytes + 2 * most;
  }

  /**
   * The chain of a state (three signed 32-bit lanes, on the path with that number) that is in the set; otherwise enters it
   * with `chain`: -1.
   */
  enter(path: number, a: number, b: number, c: number, chain: number): number {
    let table = this.#tables[path];
    if (table === undefined) table = this.#open(path);
    else if (table.full) this.#grow(table);
    const owner = table.enter(a, b, c, chain);
    if (owner < 0) this.size++;
    return owner;
  }

  /** The chain of a state that is in the set; -1 if it is not. */
  find(path: number, a: number, b: number, c: number): number {
    return this.#tables[path]?.find(a, b, c) ?? -1;
  }

  #open(path: number): Table {
    const table = new Table(this.first[path] ?? FIRST_SLOTS);
    while (this.#tables.length <= path) this.#tables.push(undefined);
    this.#tables[path] = table;
    this.bytes += table.bytes;
    return table;
  }

  #grow(table: Table): void {
    this.bytes -= table.bytes;
    table.grow();
    this.bytes += table.bytes;
  }
}
