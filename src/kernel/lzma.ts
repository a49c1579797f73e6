/**
 * Unpacks .lzma. Source: LZMA SDK, lzma-specification.txt. The packages for it do not notice that their input has ended.
 *
 * The output is the dictionary: nothing else is allocated, and a distance that leads before its begin is an error.
 */
import { InputError } from '../errors.js';
import type { PackedData } from './packed_data.js';

/** Properties, dictionary size (a multiple of 64 KiB, as every packer chooses it), unpacked size. */
const HEADER_SIZE = 13;
export const LZMA_MAGIC = [0x5d, 0, 0];
const UNKNOWN_SIZE = 0xffff_ffff_ffff_ffffn;

const TOP = 2 ** 24;
const MODEL_BITS = 11;
const HALF = 1 << (MODEL_BITS - 1);
const MOVE_BITS = 5;
/** Distances from 4 to 127 have models of their own; above, all but the lowest 4 bits are not modelled. */
const END_MODEL_SLOT = 14;
const MIN_MATCH = 2;

/** Where each group of models begins; 12 states, up to 16 position states, 4 kinds of lengths. */
const LENGTH_MODELS = 2 + 16 * 8 + 16 * 8 + 256;
const AT = {
  isMatch: 0,
  isRep: 192,
  isRepG0: 204,
  isRepG1: 216,
  isRepG2: 228,
  isRep0Long: 240,
  slot: 432,
  special: 688,
  align: 816,
  length: 832,
  repLength: 832 + LENGTH_MODELS,
  literal: 832 + 2 * LENGTH_MODELS,
} as const;

export function unpackLzma(packed: PackedData): Uint8Array {
  packed.need(0, HEADER_SIZE, 'the header of LZMA');
  const stored = packed.view.getBigUint64(5, true);
  const size = stored === UNKNOWN_SIZE ? packed.size : packed.checkSize(Number(stored));
  if (size === undefined) {
    throw new InputError(
      `${packed.file}: ${packed.what} at offset 0x${packed.offset.toString(16)}: does not say how large it is unpacked: unpack it yourself and give what is in it`,
    );
  }
  if (packed.size !== undefined && size !== packed.size) {
    packed.refuse(5, `unpacks to ${size} bytes, but is said to have ${packed.size}`);
  }
  const out = new Uint8Array(size);
  new LzmaDecoder(packed, out).unpack();
  return out;
}

class LzmaDecoder {
  readonly #in: Uint8Array;
  #at = HEADER_SIZE;
  #range = 0xffffffff;
  #code: number;
  readonly #models: Uint16Array;
  /** Bits of the byte before that choose a literal's models, of the position that do, of the position that choose others. */
  readonly #lc: number;
  readonly #lp: number;
  readonly #pb: number;
  #state = 0;
  #rep0 = 0;
  #rep1 = 0;
  #rep2 = 0;
  #rep3 = 0;
  /** How many bytes have been unpacked. */
  #done = 0;

  constructor(
    private readonly packed: PackedData,
    private readonly out: Uint8Array,
  ) {
    const { bytes, view } = packed;
    this.#in = bytes;
    const properties = bytes[0]!;
    if (properties >= 9 * 5 * 5) packed.refuse(0, 'LZMA has no such properties');
    this.#lc = properties % 9;
    this.#lp = Math.floor(properties / 9) % 5;
    this.#pb = Math.floor(properties / 45);
    this.#models = new Uint16Array(AT.literal + (0x300 << (this.#lc + this.#lp))).fill(HALF);
    packed.need(HEADER_SIZE, 5, 'the begin of LZMA data');
    if (bytes[HEADER_SIZE] !== 0) packed.refuse(HEADER_SIZE, 'LZMA data does not begin with a zero byte');
    this.#code = view.getUint32(HEADER_SIZE + 1);
    this.#at += 5;
  }

  unpack(): void {
    const marker = this.#run();
    this.#normalize();
    const { length } = this.#in;
    if (this.#done < this.out.length) {
      this.packed.refuse(this.#at, `ends after ${this.#done} bytes, where ${this.out.length} are to come`);
    }
    if (this.#at > length) this.#refuseEnd();
    if (this.#code !== 0 || (marker && this.#at < length)) {
      this.packed.refuse(this.#at, 'LZMA data does not end as it should');
    }
  }

  #refuseEnd(): never {
    return this.packed.refuse(this.#in.length, 'LZMA data ends too early');
  }

  #normalize(): void {
    if (this.#range < TOP) {
      this.#range = (this.#range << 8) >>> 0;
      // Beyond the end comes 0: that it was needed is noticed at the end of the symbol.
      const byte = this.#at < this.#in.length ? this.#in[this.#at]! : 0;
      this.#at++;
      this.#code = ((this.#code << 8) | byte) >>> 0;
    }
  }

  #bit(model: number): number {
    this.#normalize();
    const probability = this.#models[model]!;
    const bound = (this.#range >>> MODEL_BITS) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      this.#models[model] = probability + (((1 << MODEL_BITS) - probability) >> MOVE_BITS);
      return 0;
    }
    this.#range -= bound;
    this.#code -= bound;
    this.#models[model] = probability - (probability >> MOVE_BITS);
    return 1;
  }

  #direct(bits: number): number {
    let value = 0;
    for (let i = 0; i < bits; i++) {
      this.#normalize();
      this.#range >>>= 1;
      let bit = 0;
      if (this.#code >= this.#range) {
        this.#code -= this.#range;
        bit = 1;
      }
      value = value * 2 + bit;
    }
    return value;
  }

  /** A number of `bits` bits, the highest first. */
  #tree(models: number, bits: number): number {
    let node = 1;
    for (let i = 0; i < bits; i++) node = (node << 1) | this.#bit(models + node);
    return node - (1 << bits);
  }

  /** The lowest first. */
  #reverseTree(models: number, bits: number): number {
    let node = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(models + node);
      node = (node << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #literal(): number {
    const { out } = this;
    const done = this.#done;
    const before = done > 0 ? out[done - 1]! : 0;
    const group = ((done & ((1 << this.#lp) - 1)) << this.#lc) + (before >> (8 - this.#lc));
    const models = AT.literal + 0x300 * group;
    let node = 1;
    if (this.#state >= 7) {
      let match = out[done - this.#rep0 - 1]!;
      do {
        const matchBit = (match >> 7) & 1;
        match <<= 1;
        const bit = this.#bit(models + ((1 + matchBit) << 8) + node);
        node = (node << 1) | bit;
        if (matchBit !== bit) break;
      } while (node < 0x100);
    }
    while (node < 0x100) node = (node << 1) | this.#bit(models + node);
    return node & 0xff;
  }

  #length(models: number, positionState: number): number {
    if (this.#bit(models) === 0) return this.#tree(models + 2 + (positionState << 3), 3);
    if (this.#bit(models + 1) === 0) return 8 + this.#tree(models + 2 + 128 + (positionState << 3), 3);
    return 16 + this.#tree(models + 2 + 256, 8);
  }

  /** The distance, less 1, of a match of that length. */
  #distance(length: number): number {
    const slot = this.#tree(AT.slot + (Math.min(length, 3) << 6), 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const distance = (2 | (slot & 1)) * 2 ** bits;
    if (slot < END_MODEL_SLOT) return distance + this.#reverseTree(AT.special + distance - slot, bits);
    return distance + this.#direct(bits - 4) * 16 + this.#reverseTree(AT.align, 4);
  }

  /** Returns whether the end marker was met. */
  #run(): boolean {
    const { out } = this;
    const positionMask = (1 << this.#pb) - 1;
    for (;;) {
      const done = this.#done;
      if (this.#at > this.#in.length) this.#refuseEnd();
      // Without a marker, what the last bits leave is 0.
      if (done === out.length && this.#code === 0) return false;
      const positionState = done & positionMask;
      const state = this.#state;
      if (this.#bit(AT.isMatch + (state << 4) + positionState) === 0) {
        if (done >= out.length) this.#refuseSurplus();
        out[done] = this.#literal();
        this.#done = done + 1;
        this.#state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      let length: number;
      if (this.#bit(AT.isRep + state) === 0) {
        this.#rep3 = this.#rep2;
        this.#rep2 = this.#rep1;
        this.#rep1 = this.#rep0;
        length = this.#length(AT.length, positionState);
        this.#state = state < 7 ? 7 : 10;
        this.#rep0 = this.#distance(length);
        if (this.#rep0 === 0xffffffff) return true;
      } else if (this.#bit(AT.isRepG0 + state) === 0) {
        if (this.#bit(AT.isRep0Long + (state << 4) + positionState) === 0) {
          this.#state = state < 7 ? 9 : 11;
          this.#copyMatch(1);
          continue;
        }
        length = this.#length(AT.repLength, positionState);
        this.#state = state < 7 ? 8 : 11;
      } else {
        let distance: number;
        if (this.#bit(AT.isRepG1 + state) === 0) distance = this.#rep1;
        else {
          if (this.#bit(AT.isRepG2 + state) === 0) distance = this.#rep2;
          else {
            distance = this.#rep3;
            this.#rep3 = this.#rep2;
          }
          this.#rep2 = this.#rep1;
        }
        this.#rep1 = this.#rep0;
        this.#rep0 = distance;
        length = this.#length(AT.repLength, positionState);
        this.#state = state < 7 ? 8 : 11;
      }
      this.#copyMatch(length + MIN_MATCH);
    }
  }

  #copyMatch(length: number): void {
    const { out } = this;
    const done = this.#done;
    const end = done + length;
    if (this.#rep0 >= done) this.packed.refuse(this.#at, 'LZMA data refers to what lies before the output');
    if (end > out.length) this.#refuseSurplus();
    for (let to = done, from = done - this.#rep0 - 1; to < end; to++, from++) out[to] = out[from]!;
    this.#done = end;
  }

  #refuseSurplus(): never {
    return this.packed.refuse(this.#at, 'LZMA data unpacks to more than its size says');
  }
}
