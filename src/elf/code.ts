/** Where the instructions of a section begin. */
import { Decoder, DecoderError, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import type { LineRow, SourcePosition } from '../image/module.js';

/** An object without line numbers: line 0, which no file has. */
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
}

/** One row for each instruction, in order. Bytes that are no instruction get none. */
export function instructionRows(section: CodeSection): LineRow[] {
  const { data, address, file } = section;
  const formatter = new Formatter(FormatterSyntax.Gas);
  const rows: LineRow[] = [];
  const starts = [...new Set([0, ...section.labels])].filter((at) => at >= 0 && at < data.length).sort((a, b) => a - b);
  starts.forEach((start, i) => {
    const end = starts[i + 1] ?? data.length;
    const decoder = new Decoder(64, data.subarray(start), DecoderOptions.None);
    decoder.ip = BigInt.asUintN(64, address + BigInt(start));
    let offset = start;
    while (offset < end) {
      const instruction = decoder.decode();
      if (decoder.lastError === DecoderError.None) {
        const position = section.position(offset) ?? { file, line: NO_LINE };
        rows.push({ offset, position, expandedFrom: [], text: formatter.format(instruction) });
        offset += instruction.length;
      } else {
        offset++;
        decoder.position = offset - start;
        decoder.ip = BigInt.asUintN(64, address + BigInt(offset));
      }
      instruction.free();
    }
    decoder.free();
  });
  formatter.free();
  return rows;
}
