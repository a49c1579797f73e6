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

/** Stands for no path in the table of last rows; a path with this number would find row 0, which is sound. */
const NO_PATH = -0x80000000;

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
  // Each instruction's last row: the next state of a chain mostly got there the same way.
  #lastPath = new Int32Array(512).fill(NO_PATH);
  #lastRow = new Int32Array(512);
  // Open addressing: instruction number + 1, path, row.
  #table = new Int32Array(3 << 12); // a power of two of entries
  #entries = 0;

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
   * Offset into `rows` of the row for an instruction (its number in the decode cache; -1 for none) when the handlers that
   * `path` stands for are interrupted. Different paths in one row would cost precision, not soundness.
   */
  row(instruction: number, path: number): number {
    if (instruction < 0) return 0;
    if (this.#lastPath[instruction] === path) return this.#lastRow[instruction]!;
    const row = this.#find(instruction, path);
    if (instruction >= this.#lastPath.length) this.#growLast(instruction);
    this.#lastPath[instruction] = path;
    this.#lastRow[instruction] = row;
    return row;
  }

  #growLast(instruction: number): void {
    const length = Math.max(instruction + 1, 2 * this.#lastPath.length);
    const paths = new Int32Array(length).fill(NO_PATH);
    const rows = new Int32Array(length);
    paths.set(this.#lastPath);
    rows.set(this.#lastRow);
    this.#lastPath = paths;
    this.#lastRow = rows;
  }

  #find(instruction: number, path: number): number {
    const key = instruction + 1;
    const table = this.#table;
    const mask = table.length / 3 - 1;
    let slot = (Math.imul(key, 0x9e3779b1) ^ path) & mask;
    for (;;) {
      const at = 3 * slot;
      if (table[at] === key && table[at + 1] === path) return table[at + 2]!;
      if (table[at] === 0) break;
      slot = (slot + 1) & mask;
    }
    const row = this.#newRow(this.exact);
    this.#insert(key, path, row);
    return row;
  }

  #insert(key: number, path: number, row: number): void {
    if (this.#entries * 6 > this.#table.length) {
      const old = this.#table;
      this.#table = new Int32Array(old.length * 2);
      this.#entries = 0;
      for (let at = 0; at < old.length; at += 3) if (old[at] !== 0) this.#insert(old[at]!, old[at + 1]!, old[at + 2]!);
    }
    const mask = this.#table.length / 3 - 1;
    let slot = (Math.imul(key, 0x9e3779b1) ^ path) & mask;
    while (this.#table[3 * slot] !== 0) slot = (slot + 1) & mask;
    this.#table.set([key, path, row], 3 * slot);
    this.#entries++;
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
