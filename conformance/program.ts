/** A program: what is in memory and in the registers before it runs. Its record for the guest, and the result of a run. */
import { LIVE_WORDS, liveOffset, TEMPLATE_WORDS } from './layout.js';
import { STATE_NAMES, type State, stateFrom, stateWords } from './state.js';

/** The words of a program's memory that differ from the template, by word number. */
export class Overlay {
  readonly words = new Map<number, bigint>();

  /** The word that holds `address`, which must be mapped. */
  static wordOf(address: bigint): number {
    const offset = liveOffset(address);
    if (offset === undefined) throw new RangeError(`nothing is mapped at 0x${address.toString(16)}`);
    return offset >>> 3;
  }

  word(n: number): bigint {
    return this.words.get(n) ?? TEMPLATE_WORDS[n]!;
  }

  /** Bytes need not be aligned; they must not run over the end of a region. */
  setBytes(address: bigint, bytes: Uint8Array): void {
    const offset = liveOffset(address)!;
    bytes.forEach((byte, i) => {
      const at = offset + i;
      const shift = BigInt(8 * (at & 7));
      const word = this.word(at >>> 3);
      this.words.set(at >>> 3, (word & ~(0xffn << shift)) | (BigInt(byte) << shift));
    });
  }

  set64(address: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.setBytes(address, bytes);
  }

  get64(address: bigint): bigint {
    return this.word(Overlay.wordOf(address));
  }

  /** Runs of words that follow each other: [first word, values]. */
  runs(): [number, bigint[]][] {
    const out: [number, bigint[]][] = [];
    let last = -2;
    for (const n of [...this.words.keys()].sort((a, b) => a - b)) {
      if (this.words.get(n) === TEMPLATE_WORDS[n]) continue;
      if (n === last + 1) out.at(-1)![1].push(this.words.get(n)!);
      else out.push([n, [this.words.get(n)!]]);
      last = n;
    }
    return out;
  }
}

export interface Program {
  readonly start: State;
  readonly memory: Overlay;
  /** Its page in the texts. */
  readonly slot: number;
  /** The families of instructions in it. */
  readonly families: ReadonlySet<string>;
}

/** What a run has left: registers, and the words that differ from the template. */
export interface Result {
  readonly state: State;
  readonly words: ReadonlyMap<number, bigint>;
}

/** The record that the guest reads: size, number of runs, registers, runs of words. */
export function recordOf(program: Program): Uint8Array {
  const runs = program.memory.runs();
  const size = 8 * STATE_NAMES.length + runs.reduce((sum, [, values]) => sum + 8 + 8 * values.length, 0);
  const view = new DataView(new ArrayBuffer(size));
  stateWords(program.start).forEach((word, i) => {
    view.setBigUint64(8 * i, word, true);
  });
  view.setUint32(0, size, true);
  view.setUint32(4, runs.length, true);
  let at = 8 * STATE_NAMES.length;
  for (const [first, values] of runs) {
    view.setUint32(at, first, true);
    view.setUint32(at + 4, values.length, true);
    at += 8;
    for (const value of values) {
      view.setBigUint64(at, value, true);
      at += 8;
    }
  }
  return new Uint8Array(view.buffer);
}

/** The results in the guest's output, up to the first one that is not there. */
export function readResults(bytes: Uint8Array, count: number): Result[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const results: Result[] = [];
  let at = 0;
  while (results.length < count) {
    const size = Number(view.getBigUint64(at, true));
    const header = 8 + 8 * STATE_NAMES.length;
    if (size < header || size > header + 16 * LIVE_WORDS) break;
    const state = stateFrom(BigUint64Array.from(STATE_NAMES, (_, i) => view.getBigUint64(at + 8 + 8 * i, true)));
    const words = new Map<number, bigint>();
    for (let pair = at + header; pair < at + size; pair += 16) {
      words.set(Number(view.getBigUint64(pair, true)), view.getBigUint64(pair + 8, true));
    }
    results.push({ state, words });
    at += size;
  }
  return results;
}
