/** Instructions in code that has no line map: where they begin, and what they read like. */
import { Decoder, DecoderOptions, FlowControl, Formatter, FormatterSyntax } from 'iced-x86';

/** The longest instruction, in bytes (SDM vol. 2, 2.3.11). */
export const MAX_INSTRUCTION = 15;

/**
 * The offsets into `code` of the instructions from offset `from`, where one is known to begin, up to, and not including, `to`. What
 * cannot be decoded counts as an instruction of one byte, as objdump has it.
 */
export function instructionOffsets(code: Uint8Array, from: number, to: number): number[] {
  const offsets: number[] = [];
  const end = Math.min(to, code.length);
  if (from >= end) return offsets;
  // An instruction that begins before the end may go beyond it.
  const decoder = new Decoder(
    64,
    code.subarray(from, Math.min(code.length, end + MAX_INSTRUCTION)),
    DecoderOptions.None,
  );
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

let formatter: Formatter | undefined;

/** The instruction at `offset` of `code`, which lies at `address`, in AT&T syntax; `nameOf` gives the name of what a branch goes to. */
export function instructionText(
  code: Uint8Array,
  offset: number,
  address: bigint,
  nameOf: (address: bigint) => string,
): string {
  if (formatter === undefined) {
    formatter = new Formatter(FormatterSyntax.Gas);
    formatter.uppercaseHex = false;
    formatter.branchLeadingZeros = false;
  }
  const decoder = new Decoder(64, code.subarray(offset, offset + MAX_INSTRUCTION), DecoderOptions.None);
  decoder.ip = address;
  const instruction = decoder.decode();
  const { flowControl, isInvalid } = instruction;
  let text = isInvalid ? `.byte 0x${code[offset]!.toString(16)}` : formatter.format(instruction);
  if (NAMED.has(flowControl) && instruction.nearBranchTarget !== 0n) {
    text = text.replace(/0x[0-9a-f]+$/, nameOf(instruction.nearBranchTarget));
  }
  instruction.free();
  decoder.free();
  return text;
}

const NAMED: ReadonlySet<FlowControl> = new Set([
  FlowControl.UnconditionalBranch,
  FlowControl.ConditionalBranch,
  FlowControl.Call,
]);
