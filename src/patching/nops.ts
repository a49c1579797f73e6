/** NOPs with which Linux and Xen fill what a patch leaves over: not those of the assembler, and not the same in all versions. */
import { Decoder, DecoderOptions, Mnemonic } from 'iced-x86';
import { NOPS } from '../assembler/nops.js';

/** Linux writes the one of 9 bytes with another prefix than GNU as and Xen, which have those of SDM vol. 2, NOP, table 4-12. */
const LINUX_NINE: readonly number[] = [0x2e, ...NOPS[9]!.slice(1)];

/**
 * How a kernel fills: `runs`, NOPs of up to 8 bytes one after another (Linux up to 6.4); `one`, a single NOP of up to 11
 * bytes, and what is longer is jumped over (Linux 6.5 and later); `xen`, NOPs of up to 9 bytes.
 */
export type NopStyle = 'runs' | 'one' | 'xen';

export interface MergeRules {
  readonly nops: NopStyle;
  /** Which NOPs of a site become one: none; the padding of one that is not patched; single ones; all, with a JMP over them. */
  readonly merging: 'none' | 'padding' | 'single' | 'all' | 'all-and-jumps';
}

const LONGEST: Readonly<Record<NopStyle, number>> = { runs: 8, one: 11, xen: 9 };
const INT3 = 0xcc;

export function nops(count: number, style: NopStyle): Uint8Array {
  const bytes = new Uint8Array(count);
  const longest = LONGEST[style];
  if (style === 'one' && count > longest) {
    bytes.fill(INT3);
    if (count < 128) bytes.set([0xeb, count - 2]);
    else {
      bytes[0] = 0xe9;
      new DataView(bytes.buffer).setInt32(1, count - 5, true);
    }
    return bytes;
  }
  for (let at = 0; at < count; ) {
    const size = Math.min(count - at, longest);
    bytes.set(style !== 'xen' && size === 9 ? LINUX_NINE : NOPS[size]!, at);
    at += size;
  }
  return bytes;
}

/** Length of the instruction at an offset; undefined if there is none. */
export function lengthAt(code: Uint8Array, at: number): number | undefined {
  const decoder = new Decoder(64, code.subarray(at, at + 15), DecoderOptions.None);
  const instruction = decoder.decode();
  const length = instruction.mnemonic === Mnemonic.INVALID ? undefined : instruction.length;
  instruction.free();
  decoder.free();
  return length;
}

/** Makes the NOPs of a site what that kernel makes of them. In place. */
export function mergeSite(code: Uint8Array, { merging, nops: style }: MergeRules): void {
  if (merging === 'single') mergeSingleNops(code, style);
  else if (merging === 'all' || merging === 'all-and-jumps') mergeNops(code, merging === 'all-and-jumps');
}

/** Runs of single-byte NOPs become long ones, wherever an instruction begins (Linux 5.13 to 6.4). In place. */
function mergeSingleNops(code: Uint8Array, style: NopStyle): void {
  for (let at = 0; at < code.length; ) {
    const length = lengthAt(code, at);
    if (length === undefined) return;
    if (length !== 1 || code[at] !== 0x90) {
      at += length;
      continue;
    }
    const start = at;
    while (at < code.length && code[at] === 0x90) at++;
    if (at - start > 1) code.set(nops(at - start, style), start);
  }
}

/**
 * Neighbouring NOPs of any length become one (Linux from 6.5 on); one that ends the site stays. With `jumps` a JMP in front that
 * ends where they end is taken with them (up to 6.9). In place.
 */
function mergeNops(code: Uint8Array, jumps: boolean): void {
  let jump: { readonly at: number; readonly target: number } | undefined;
  for (let at = 0; at < code.length; ) {
    const length = lengthAt(code, at);
    if (length === undefined) return;
    const start = at;
    at += length;
    if (!isNop(code, start)) {
      jump = jumps ? (jumpAt(code, start) ?? undefined) : undefined;
      continue;
    }
    if (at >= code.length && !jump) return;
    for (let next = lengthAt(code, at); at < code.length && next !== undefined && isNop(code, at); ) {
      at += next;
      next = lengthAt(code, at);
    }
    const end = Math.min(at, code.length);
    const from = jump?.target === end ? jump.at : start;
    code.set(nops(end - from, 'one'), from);
  }
}

function jumpAt(code: Uint8Array, at: number): { readonly at: number; readonly target: number } | undefined {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  if (code[at] === 0xeb) return { at, target: at + 2 + view.getInt8(at + 1) };
  return code[at] === 0xe9 ? { at, target: at + 5 + view.getInt32(at + 1, true) } : undefined;
}

/** 90 without F3 before it (which is PAUSE), or 0F 1F, behind prefixes. */
function isNop(code: Uint8Array, at: number): boolean {
  let i = at;
  while (i < code.length && (code[i] === 0x66 || code[i] === 0x2e || code[i] === 0x3e || code[i] === 0xf2)) i++;
  return code[i] === 0x90 || (code[i] === 0x0f && code[i + 1] === 0x1f);
}
