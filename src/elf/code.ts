/** The instructions of a section: where each begins, what it is, and where it comes from. */
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, type Instruction, OpKind } from 'iced-x86';
import type { LineRow, SourcePosition } from '../image/module.js';

/** Of an instruction whose line is not known: no file has a line 0. */
const NO_LINE = 0;

export interface CodeSection {
  readonly data: Uint8Array;
  /** Offsets at which something is labelled: decoding begins anew at each, for what lies before may be no code. Any order. */
  readonly labels: readonly number[];
  /** Address of the section's begin, for the targets of branches. */
  readonly address: bigint;
  /** The file that an instruction without a line is said to stand in. */
  readonly file: string;
  /** The source position of an offset, where it is known. */
  position(offset: number): SourcePosition | undefined;
  /** What will be in the field at an offset (`symbol+0x8`), which is part of an instruction that ends at offset `end`. */
  field?(offset: number, end: number): string | undefined;
  /** What an address is called. */
  name?(address: bigint): string | undefined;
}

/** One row for each instruction, in order. A byte that begins none is one of its own, as objdump has it. */
export function instructionRows(section: CodeSection): LineRow[] {
  const { data, address, file } = section;
  const formatter = attFormatter();
  const rows: LineRow[] = [];
  const starts = [...new Set([0, ...section.labels])].filter((at) => at >= 0 && at < data.length).sort((a, b) => a - b);
  starts.forEach((start, i) => {
    const end = starts[i + 1] ?? data.length;
    const decoder = new Decoder(64, data.subarray(start), DecoderOptions.None);
    decoder.ip = BigInt.asUintN(64, address + BigInt(start));
    for (let offset = start; offset < end; ) {
      const instruction = decoder.decode();
      const { isInvalid } = instruction;
      const text = isInvalid
        ? `.byte 0x${data[offset]!.toString(16).padStart(2, '0')}`
        : instructionText(section, formatter, decoder, instruction, offset);
      rows.push({ offset, position: section.position(offset) ?? { file, line: NO_LINE }, expandedFrom: [], text });
      offset += isInvalid ? 1 : instruction.length;
      instruction.free();
      if (isInvalid) {
        decoder.position = offset - start;
        decoder.ip = BigInt.asUintN(64, address + BigInt(offset));
      }
    }
    decoder.free();
  });
  formatter.free();
  return rows;
}

/** As GNU as reads it: numbers like the other texts of the report. */
function attFormatter(): Formatter {
  const formatter = new Formatter(FormatterSyntax.Gas);
  formatter.spaceAfterOperandSeparator = true;
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.branchLeadingZeros = false;
  formatter.ripRelativeAddresses = true;
  return formatter;
}

/** The instruction with the names of what relocations will put into it, and of what it branches to. */
function instructionText(
  section: CodeSection,
  formatter: Formatter,
  decoder: Decoder,
  instruction: Instruction,
  offset: number,
): string {
  const end = offset + instruction.length;
  const constants = decoder.getConstantOffsets(instruction);
  const named = (has: boolean, at: number): string | undefined => (has ? section.field?.(offset + at, end) : undefined);
  const immediate = named(constants.hasImmediate, constants.immediateOffset);
  const displacement = named(constants.hasDisplacement, constants.displacementOffset);
  constants.free();
  if (instruction.op0Kind === OpKind.NearBranch64) {
    const target = immediate ?? section.name?.(instruction.nearBranchTarget);
    if (target !== undefined) return `${formatter.formatMnemonic(instruction)} ${target}`;
  }
  let text = formatter.format(instruction);
  if (immediate !== undefined) text = text.replace(/\$-?\w+/, () => `$${immediate}`);
  if (displacement !== undefined) text = text.replace(/(?<=[ :*])-?\w*(?=\()|(?<=:)-?\w+/, () => displacement);
  return text;
}
