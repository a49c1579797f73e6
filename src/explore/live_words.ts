/**
 * Which words of memory matter at a boundary. A word that every path overwrites before it reads it is dead there: what an
 * earlier event left in it cannot influence anything, and two states that differ only in dead words are one state.
 *
 * The table is learnt, never assumed: for each (instruction, interrupted instructions of the handlers below) it holds the words that some
 * explored path reads from there on before it writes them. A path that reads a word which was taken for dead adds the
 * word to every boundary back to its last write, and the search is repeated; a search counts only if the table did not
 * grow while it ran. Then no explored path has ever read a dead word, so each merged state has the same future as
 * the one that was explored in its place.
 */

import { KEYS } from '../fingerprint.js';

/** Elements of a mask to begin with, 32 memory words each; a search that writes more words starts again with more. */
const FIRST_WIDTH = 8;
/** Fingerprint keys below this belong to registers, those of all processors. */
export const FIRST_KEY = 2048;
const MAX_WIDTH = 128;

/** Room to begin with, powers of two: paths, and instructions on each. */
const FIRST_PATHS = 64;
const FIRST_STRIDE = 128;

/** The masks have no room for another word. */
export class MasksFull extends Error {}

export class LiveWords {
  /** Tracked number of a memory word (buffer offset / 8), or -1 if it has never been written. */
  readonly tracked: Int32Array;
  /** Memory word of each tracked number. */
  readonly words: Int32Array;
  count = 0;
  /** How many elements of a row are in use. */
  used = 0;
  /** Set whenever the table has learnt something: what was merged before may have been merged wrongly. */
  grown = false;
  /** One row of `width` elements for each boundary that has been seen. */
  rows = new Uint32Array(1 << 14);
  #rowCount = 0;
  /** For each path, `#stride` places: the offset of the row of the instruction with that number, 0 while it has none. */
  #rowOf = new Int32Array(FIRST_PATHS * FIRST_STRIDE);
  #stride = FIRST_STRIDE;
  /** Numbers of the paths, by what stands for them: open addressing, twice as many places as there may be paths. */
  #pathKey = new Int32Array(2 * FIRST_PATHS);
  /** Number + 1; 0 where there is none. */
  #pathNumber = new Int32Array(2 * FIRST_PATHS);
  #paths = 0;

  /** `exact` keeps every word live everywhere: no reduction. */
  constructor(
    readonly memoryWords: number,
    readonly exact: boolean,
    readonly width = FIRST_WIDTH,
  ) {
    this.words = new Int32Array(32 * width);
    this.tracked = new Int32Array(memoryWords).fill(-1);
    // Row 0: everything is live. It stands for boundaries without an instruction.
    this.#newRow(true);
  }

  #newRow(all: boolean): number {
    const at = this.#rowCount * this.width;
    if (at + this.width > this.rows.length) {
      const grown = new Uint32Array(this.rows.length * 2);
      grown.set(this.rows);
      this.rows = grown;
    }
    if (all) this.rows.fill(0xffffffff, at, at + this.width);
    this.#rowCount++;
    return at;
  }

  /**
   * The number of the path that `path` stands for. Different paths with the same number would cost precision, not soundness.
   */
  pathNumber(path: number): number {
    const keys = this.#pathKey;
    const numbers = this.#pathNumber;
    const mask = keys.length - 1;
    let slot = hashOf(path) & mask;
    while (numbers[slot] !== 0 && keys[slot] !== path) slot = (slot + 1) & mask;
    if (numbers[slot] === 0) {
      if (2 * this.#paths === keys.length) {
        this.#growPaths();
        return this.pathNumber(path);
      }
      keys[slot] = path;
      numbers[slot] = ++this.#paths;
    }
    return numbers[slot]! - 1;
  }

  /**
   * Offset into `rows` of the row for an instruction (its number in the decode cache; -1 for none) on the path with
   * the number `path`.
   */
  row(instruction: number, path: number): number {
    if (instruction < 0) return 0;
    if (instruction >= this.#stride) this.#widenPaths(instruction);
    const place = path * this.#stride + instruction;
    const row = this.#rowOf[place]!;
    if (row !== 0) return row;
    const fresh = this.#newRow(this.exact);
    this.#rowOf[place] = fresh;
    return fresh;
  }

  #growPaths(): void {
    const keys = this.#pathKey;
    const numbers = this.#pathNumber;
    const mask = 2 * keys.length - 1;
    this.#pathKey = new Int32Array(mask + 1);
    this.#pathNumber = new Int32Array(mask + 1);
    for (let i = 0; i < keys.length; i++) {
      if (numbers[i] === 0) continue;
      let slot = hashOf(keys[i]!) & mask;
      while (this.#pathNumber[slot] !== 0) slot = (slot + 1) & mask;
      this.#pathKey[slot] = keys[i]!;
      this.#pathNumber[slot] = numbers[i]!;
    }
    const rowOf = new Int32Array(keys.length * this.#stride);
    rowOf.set(this.#rowOf);
    this.#rowOf = rowOf;
  }

  /** Makes room for more instructions on each path. */
  #widenPaths(instruction: number): void {
    const before = this.#stride;
    while (instruction >= this.#stride) this.#stride *= 2;
    const rowOf = new Int32Array((this.#rowOf.length / before) * this.#stride);
    for (let n = 0; n < this.#paths; n++) {
      rowOf.set(this.#rowOf.subarray(n * before, (n + 1) * before), n * this.#stride);
    }
    this.#rowOf = rowOf;
  }

  /** An empty table with room for twice as many words; undefined if there is no more to be had. */
  widened(): LiveWords | undefined {
    return this.width < MAX_WIDTH ? new LiveWords(this.memoryWords, this.exact, 2 * this.width) : undefined;
  }

  /** The tracked number of a memory word that is being written. */
  track(word: number): number {
    const known = this.tracked[word]!;
    if (known >= 0) return known;
    if (this.count === 32 * this.width || FIRST_KEY + this.count === KEYS) throw new MasksFull();
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

function hashOf(path: number): number {
  const x = Math.imul(path, 0x9e3779b1);
  return x ^ (x >>> 15);
}
