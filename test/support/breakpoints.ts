/** Breakpoints for tests: the value of DR7 that arms them. */

/** What a breakpoint is for: R/W of DR7. */
export const On = { INSTRUCTION: 0, WRITE: 1, IO: 2, ACCESS: 3 } as const;

const LENGTHS: ReadonlyMap<number, number> = new Map([
  [1, 0],
  [2, 1],
  [8, 2],
  [4, 3],
]);

/** DR7 with breakpoint `n` globally enabled, for `length` bytes. */
export function arm(n: number, on: number, length = 1): bigint {
  return BigInt((0x400 | (2 << (2 * n)) | ((on | (LENGTHS.get(length)! << 2)) << (16 + 4 * n))) >>> 0);
}

/** DR6 with these bits set. */
export function dr6(bits: number): bigint {
  return 0xffff0ff0n | BigInt(bits);
}

export const BD = 1 << 13;
export const BS = 1 << 14;
