/** Tabs as blanks, for tab stops of 8 columns. */
export function expandTabs(text: string): string {
  let out = '';
  let column = 0;
  for (const char of text) {
    const width = char === '\t' ? 8 - (column % 8) : 1;
    out += char === '\t' ? ' '.repeat(width) : char;
    column += width;
  }
  return out;
}
