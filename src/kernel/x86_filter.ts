/**
 * The x86 filter of xz (filter ID 4 of the .xz file format, "BCJ"): compressors replace the relative target of CALL and JMP
 * (opcodes e8 and e9) by an absolute one, which repeats more often. This takes it back, in place.
 *
 * Which of the bytes e8 and e9 count as opcodes is decided from the bytes alone, in the same way on both sides: the highest
 * byte of the operand must be 00 or ff, and bytes e8 and e9 that come shortly before must not make it likely that this one
 * is part of an operand itself.
 */

/** Which of the three bytes before look like opcodes (bit 0: the nearest): may this byte be one all the same? */
const ALLOWED = [true, true, true, false, true, false, false, false];
/** For the same bits: how many bytes of the operand lie behind the operand of the earliest of them. */
const SHARED = [0, 1, 2, 2, 3, 3, 3, 3];

const isEnd = (byte: number): boolean => byte === 0 || byte === 0xff;

/** `start`: the position in the program that the first byte has. */
export function undoX86Filter(bytes: Uint8Array, start: number): void {
  /** Bit n: the byte n + 1 before this one looks like an opcode that was left alone. */
  let before = 0;
  let last = -1;
  for (let at = 0; at + 4 < bytes.length; at++) {
    if ((bytes[at]! & 0xfe) !== 0xe8) continue;
    const distance = at - last;
    last = at;
    before = distance > 3 ? 0 : (before << (distance - 1)) & 7;
    const likely = ALLOWED[before] && (before === 0 || !isEnd(bytes[at + 4 - SHARED[before]!]!));
    if (!likely || !isEnd(bytes[at + 4]!)) {
      before = (before << 1) | 1;
      continue;
    }
    const operand = bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 24);
    const relative = toRelative(operand, start + at + 5, before);
    bytes[at + 1] = relative;
    bytes[at + 2] = relative >> 8;
    bytes[at + 3] = relative >> 16;
    // Bit 24 is the sign: the highest byte is 00 or ff again.
    bytes[at + 4] = relative & 0x01000000 ? 0xff : 0;
    at += 4;
    last = at;
    before = 0;
  }
}

/** The displacement from `next`, the instruction behind, to the absolute target. */
function toRelative(absolute: number, next: number, before: number): number {
  let relative = (absolute - next) | 0;
  if (before === 0) return relative;
  // The compressor chose a number that does not look like an end where an earlier "operand" would have ended.
  const bits = 32 - 8 * SHARED[before]!;
  while (isEnd((relative >>> (bits - 8)) & 0xff)) {
    relative = ((relative ^ ((2 ** bits - 1) | 0)) - next) | 0;
  }
  return relative;
}
