/** Hashing of machine words into 96 bits, as three 32-bit lanes: wide enough that states are told apart by it alone. */

const M1 = 0x9e3779b1;
const M2 = 0x85ebca6b;
const M3 = 0xc2b2ae35;

/** Three lanes that words are mixed into, in order. */
export class Lanes {
  a = 0;
  b = 0;
  c = 0;

  reset(): void {
    this.a = 0x243f6a88;
    this.b = 0x85a308d3 | 0;
    this.c = 0x13198a2e;
  }

  /** Mixes words[from..to) in. */
  absorb(words: Uint32Array, from: number, to: number): void {
    let a = this.a;
    let b = this.b;
    let c = this.c;
    for (let i = from; i < to; i++) {
      const w = words[i]!;
      a = Math.imul(a ^ w, M1);
      a = (a << 13) | (a >>> 19);
      b = Math.imul(b ^ w ^ 0x5bd1e995, M2);
      b = (b << 17) | (b >>> 15);
      c = Math.imul(c + w, M3) ^ (a >>> 7);
      c = (c << 11) | (c >>> 21);
    }
    this.a = a;
    this.b = b;
    this.c = c;
  }

  /** Adds what the 64-bit value high:low at place `key` (below KEYS) contributes; `subtract` takes it away again. */
  add(key: number, low: number, high: number): void {
    const x = first(key, low, high);
    const y = second(key, low, high);
    this.a = (this.a + x) | 0;
    this.b = (this.b + y) | 0;
    this.c = (this.c + third(key, low, high)) | 0;
  }

  subtract(key: number, low: number, high: number): void {
    const x = first(key, low, high);
    const y = second(key, low, high);
    this.a = (this.a - x) | 0;
    this.b = (this.b - y) | 0;
    this.c = (this.c - third(key, low, high)) | 0;
  }
}

/** Places that values can be at. */
export const KEYS = 1 << 13;
const KEY1 = Int32Array.from({ length: KEYS }, (_, key) => Math.imul(key + 1, M1));
const KEY2 = Int32Array.from({ length: KEYS }, (_, key) => Math.imul(key + 1, M2));
const KEY3 = Int32Array.from({ length: KEYS }, (_, key) => Math.imul(key + 1, M3));

function first(key: number, low: number, high: number): number {
  let x = Math.imul(low ^ KEY1[key]!, M2) ^ high;
  x = Math.imul(x ^ (x >>> 15), M3);
  return x ^ (x >>> 16);
}

function second(key: number, low: number, high: number): number {
  let y = Math.imul(high ^ KEY3[key]!, M1) ^ ((low << 7) | (low >>> 25));
  y = Math.imul(y ^ (y >>> 13), M2);
  return y ^ (y >>> 15);
}

function third(key: number, low: number, high: number): number {
  let z = Math.imul((low + 0x7f4a7c15) ^ ((high << 16) | (high >>> 16)) ^ KEY2[key]!, M1);
  z = Math.imul(z ^ (z >>> 16), M3);
  return z ^ (z >>> 14);
}
