/** The multi-byte NOPs with which code is padded, chosen as GNU as chooses them for generic x86-64. */

/** One instruction for each length in bytes, from 1 to LONGEST. */
export const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/** Longest single NOP, in bytes. */
export const LONGEST = 11;
/** From this many bytes on, the padding is jumped over. */
const JUMP_FROM = 8 * LONGEST;
/** Size of JMP rel8, and its reach. */
const SHORT_JUMP = 2;
const NEAR_JUMP = 5;
const SHORT_REACH = 127;

/** Writes `count` bytes of padding code to `into` at `at`, with NOPs of at most `longest` bytes. */
export function fillWithNops(into: Uint8Array, at: number, count: number, longest = LONGEST): void {
  let left = count;
  let to = at;
  if (count >= JUMP_FROM) {
    if (count - SHORT_JUMP <= SHORT_REACH) {
      into[to] = 0xeb;
      into[to + 1] = count - SHORT_JUMP;
      to += SHORT_JUMP;
    } else {
      into[to] = 0xe9;
      new DataView(into.buffer, into.byteOffset).setInt32(to + 1, count - NEAR_JUMP, true);
      to += NEAR_JUMP;
    }
    left = count - (to - at);
  }
  while (left > 0) {
    const size = Math.min(left, longest);
    into.set(NOPS[size]!, to);
    to += size;
    left -= size;
  }
}
