/**
 * The tokens that kernels' own symbol tables are written with. Linux (scripts/kallsyms.c) and Xen (tools/symbols.c) write
 * names as bytes, each of which stands for one of 256 strings: first the strings (`token_table`), each with a zero byte behind
 * it, then 256 offsets into them of 2 bytes (`token_index`). There are no symbols that lead to them: they are found by this shape.
 */

const TOKENS = 256;
const INDEX_SIZE = 2 * TOKENS;
/** No token is longer than a name may be (KSYM_NAME_LEN, and the type letter). */
const LONGEST_TOKEN = 512;
/** The index is aligned to 8 bytes at most. */
const MOST_PADDING = 7;

export interface TokenTable {
  /** Offset of the strings in the data. */
  readonly start: number;
  /** Offset behind the index. */
  readonly end: number;
  readonly tokens: readonly string[];
}

/** The token table at or behind offset `from` of `data`, which begins at an even address. */
export function findTokenTable(data: Uint8Array, from: number): TokenTable | undefined {
  for (let at = (from + 1) & ~1; at + INDEX_SIZE <= data.length; at += 2) {
    // The first offset is 0, the second is the length of a short string and its zero byte.
    if (data[at] !== 0 || data[at + 1] !== 0 || data[at + 2]! < 2) continue;
    const table = tableBefore(data, at);
    if (table) return table;
  }
  return undefined;
}

/** The table whose index is at `index`. */
function tableBefore(data: Uint8Array, index: number): TokenTable | undefined {
  const offset = (i: number): number => data[index + 2 * i]! | (data[index + 2 * i + 1]! << 8);
  for (let i = 1; i < TOKENS; i++) {
    const length = offset(i) - offset(i - 1);
    if (length < 2 || length > LONGEST_TOKEN + 1) return undefined;
  }
  const last = offset(TOKENS - 1);
  for (let length = 2; length <= LONGEST_TOKEN + 1 + MOST_PADDING; length++) {
    const start = index - last - length;
    if (start < 0) return undefined;
    const tokens = tokensAt(data, start, offset, index);
    if (tokens) return { start, end: index + INDEX_SIZE, tokens };
  }
  return undefined;
}

function tokensAt(data: Uint8Array, start: number, offset: (i: number) => number, index: number): string[] | undefined {
  // A zero byte stands before each token but the first, and nowhere else.
  for (let i = 1; i < TOKENS; i++) if (data[start + offset(i) - 1] !== 0) return undefined;
  const tokens: string[] = [];
  for (let i = 0; i < TOKENS; i++) {
    const from = start + offset(i);
    const end = data.indexOf(0, from);
    if (end <= from || (i < TOKENS - 1 ? end !== start + offset(i + 1) - 1 : !isPadding(data, end, index))) {
      return undefined;
    }
    tokens.push(Buffer.from(data.buffer, data.byteOffset + from, end - from).toString('latin1'));
  }
  return tokens;
}

/** The zero byte that ends the last token at `end`, and what aligns the index at `index`. */
function isPadding(data: Uint8Array, end: number, index: number): boolean {
  if (end >= index || index - end > 1 + MOST_PADDING) return false;
  for (let at = end; at < index; at++) if (data[at] !== 0) return false;
  return true;
}
