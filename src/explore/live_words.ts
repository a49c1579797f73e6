/**
 * Which words of memory matter at a boundary. A word that every path overwrites before it reads it is dead there: what an
 * earlier event left in it cannot influence anything, and two states that differ only in dead words are one state.
 *
 * The table is learnt, never assumed: for each (instruction, number of open deliveries) it holds the words that some
 * explored path reads from there on before it writes them. A path that reads a word which was taken for dead adds the
 * word to every boundary back to its last write, and the search is repeated; a search counts only if the table did not
 * grow while it ran. Then no explored path has ever read a dead word, so each merged state has the same future as
 * the one that was explored in its place.
 */

/** Words that the masks have room for: 32 for each element of a row. */
export const MASK_WORDS = 64;
const MAX_TRACKED = MASK_WORDS * 32;
const DEPTHS = 8;

export class LiveWords {
  /** Tracked number of a memory word (buffer offset / 8), or -1 if it has never been written. */
  readonly tracked: Int32Array;
  /** Memory word of each tracked number. */
  readonly words: Int32Array = new Int32Array(MAX_TRACKED);
  count = 0;
  /** How many elements of a row are in use. */
  used = 0;
  /** Set whenever the table has learnt something: what was merged before may have been merged wrongly. */
  grown = false;
  /** One row of MASK_WORDS elements for each boundary that has been seen. */
  rows = new Uint32Array(1 << 14);
  #rowCount = 0;
  readonly #rowOf = new Map<number, number>();
  #cache = new Int32Array(1 << 10).fill(-1);

  /** `exact` keeps every word live everywhere: no reduction. */
  constructor(
    memoryWords: number,
    readonly exact: boolean,
  ) {
    this.tracked = new Int32Array(memoryWords).fill(-1);
    // Row 0: everything is live. It stands for boundaries without an instruction.
    this.#newRow(true);
  }

  #newRow(all: boolean): number {
    const at = this.#rowCount * MASK_WORDS;
    if (at + MASK_WORDS > this.rows.length) {
      const grown = new Uint32Array(this.rows.length * 2);
      grown.set(this.rows);
      this.rows = grown;
    }
    if (all) this.rows.fill(0xffffffff, at, at + MASK_WORDS);
    this.#rowCount++;
    return at;
  }

  /** Offset into `rows` of the row for an instruction (its number in the decode cache) at a nesting depth. */
  row(instruction: number, depth: number): number {
    if (instruction < 0) return 0;
    const key = instruction * DEPTHS + (depth < DEPTHS ? depth : DEPTHS - 1);
    if (key >= this.#cache.length) this.#growCache(key);
    const cached = this.#cache[key]!;
    if (cached >= 0) return cached;
    const row = this.#rowOf.get(key) ?? this.#newRow(this.exact);
    this.#rowOf.set(key, row);
    this.#cache[key] = row;
    return row;
  }

  #growCache(key: number): void {
    const grown = new Int32Array(Math.max(key + 1, this.#cache.length * 2)).fill(-1);
    grown.set(this.#cache);
    this.#cache = grown;
  }

  /** The tracked number of a memory word that is being written; -1 when there is no room for more. */
  track(word: number): number {
    const known = this.tracked[word]!;
    if (known >= 0) return known;
    if (this.count === MAX_TRACKED) return -1;
    const number = this.count++;
    this.tracked[word] = number;
    this.words[number] = word;
    this.used = (this.count + 31) >>> 5;
    // States hashed so far did not look at this word.
    this.grown = true;
    return number;
  }

  /** Makes a tracked word live at a row; true if it was not. */
  add(row: number, number: number): boolean {
    const at = row + (number >>> 5);
    const bit = 1 << (number & 31);
    if (this.rows[at]! & bit) return false;
    this.rows[at]! |= bit;
    this.grown = true;
    return true;
  }
}
