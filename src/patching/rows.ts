/** The line map of a patched section: what has been written has rows of its own, with the source of what was put there. */
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Mnemonic } from 'iced-x86';
import type { PlacedSection } from '../image/image.js';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import type { LineRow } from '../image/module.js';
import type { Patch, PatchOrigin } from './alternatives.js';
import type { PatchedMemory } from './memory.js';

/** A range of a section that has been written, and where its instructions come from. Offsets. */
interface Written {
  readonly start: number;
  readonly end: number;
  readonly from: PatchOrigin | undefined;
}

/** The rows of a section after these patches; those outside of them stay. */
export function patchedRows(
  memory: PatchedMemory,
  section: PlacedSection,
  patches: readonly Patch[],
  rowAt: (address: bigint) => LineRow | undefined,
): readonly LineRow[] {
  // Raw data that nobody has taken apart keeps no rows.
  if (section.lines.length === 0) return section.lines;
  const code = memory.bytesOf(section);
  const ranges = writtenRanges(section, patches);
  const rows: LineRow[] = [];
  let next = 0;
  const { lines } = section;
  for (const { start, end, from } of ranges) {
    while (next < lines.length && lines[next]!.offset < start) rows.push(lines[next++]!);
    // Padding has no row of its own: it belongs to what stands before it, at the start of a section to what follows.
    const first = lines[next]?.offset === start ? lines[next]! : (rows[rows.length - 1] ?? lines[next]!);
    while (next < lines.length && lines[next]!.offset < end) next++;
    for (let at = start; at < end; ) {
      const { length, text } = instructionAt(code, at, section.address);
      const source = from && at - start < from.size ? rowAt(from.address + BigInt(at - start)) : undefined;
      rows.push(source ? { ...source, offset: at } : { ...first, offset: at, text });
      at += length;
    }
  }
  return [...rows, ...lines.slice(next)];
}

/** In order and apart: of patches that overlap, the later one is what stands there. */
function writtenRanges(section: PlacedSection, patches: readonly Patch[]): Written[] {
  const ranges = new Map<number, Written>();
  for (const { address, size, from } of patches) {
    const start = Number(address - section.address);
    const known = ranges.get(start);
    ranges.set(start, {
      start,
      end: Math.max(start + size, known?.end ?? 0),
      // Merged NOPs leave the instructions where they are.
      from: from ?? known?.from,
    });
  }
  const sorted = [...ranges.values()].sort((a, b) => a.start - b.start);
  const apart: Written[] = [];
  for (const range of sorted) {
    const last = apart[apart.length - 1];
    if (last && range.start < last.end) {
      apart[apart.length - 1] = { start: last.start, end: Math.max(last.end, range.end), from: undefined };
    } else apart.push(range);
  }
  return apart;
}

const formatter = new Formatter(FormatterSyntax.Gas);

/** Length and text of an instruction; a byte as data where there is none. */
function instructionAt(code: Uint8Array, at: number, base: bigint): { length: number; text: string } {
  const decoder = new Decoder(64, code.subarray(at, at + MAX_INSTRUCTION), DecoderOptions.None);
  decoder.ip = base + BigInt(at);
  const instruction = decoder.decode();
  const known = instruction.mnemonic !== Mnemonic.INVALID;
  const result = known
    ? { length: instruction.length, text: formatter.format(instruction) }
    : { length: 1, text: `.byte 0x${code[at]!.toString(16).padStart(2, '0')}` };
  instruction.free();
  decoder.free();
  return result;
}
