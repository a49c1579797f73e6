/** Where instructions begin in code that has no line map: found by decoding, from a place where one is known to begin. */
import { Decoder, DecoderOptions } from 'iced-x86';

/**
 * The offsets into `code` of the instructions from offset `from` up to, and not including, `to`. What cannot be decoded counts as an
 * instruction of one byte, as objdump has it.
 */
export function instructionOffsets(code: Uint8Array, from: number, to: number): number[] {
  const offsets: number[] = [];
  const end = Math.min(to, code.length);
  if (from >= end) return offsets;
  // An instruction that begins before the end may go beyond it.
  const decoder = new Decoder(64, code.subarray(from, Math.min(code.length, end + 15)), DecoderOptions.None);
  while (from + decoder.position < end && decoder.canDecode) {
    const at = decoder.position;
    offsets.push(from + at);
    const instruction = decoder.decode();
    if (instruction.isInvalid) decoder.position = at + 1;
    instruction.free();
  }
  decoder.free();
  return offsets;
}
