/** A screen as data: a grid of characters, each with a role. What a role looks like is the terminal's affair. */

/** What a piece of text is. Each role that matters also has a sign or a word, for screens without colour. */
export const ROLES = [
  'plain',
  'dim',
  'bold',
  'current',
  'changed',
  'bad',
  'good',
  'event',
  'frame',
  'label',
  'border',
  'focus',
  'bar',
] as const;
export type Role = (typeof ROLES)[number];

export interface Span {
  readonly text: string;
  readonly role: Role;
}

export function span(text: string, role: Role = 'plain'): Span {
  return { text, role };
}

/** Set in a cell's byte beside the role's number: the cell is selected. */
export const SELECTED = 0x80;

const NUMBER = new Map(ROLES.map((role, i) => [role, i]));

/** One character that is one column wide everywhere: a wide or combining one would shift all that follows. */
function narrow(char: string, unicode: boolean): string {
  const code = char.codePointAt(0)!;
  if (code >= 0x20 && code < 0x7f) return char;
  if (!unicode || code < 0xa0 || code === 0xad) return '?';
  if (code < 0x300 || (code >= 0x370 && code < 0x483) || (code >= 0x48a && code < 0x530)) return char;
  if ((code >= 0x2010 && code <= 0x2027) || (code >= 0x2190 && code <= 0x22ff)) return char;
  if (code >= 0x2500 && code <= 0x25fc) return char;
  return '?';
}

export class Frame {
  readonly chars: string[];
  /** A role's number, and SELECTED. */
  readonly roles: Uint8Array;
  /** Where the terminal's cursor is shown; hidden without it. */
  cursor: { readonly x: number; readonly y: number } | undefined;

  constructor(
    readonly width: number,
    readonly height: number,
    /** Without it, all that is not ASCII becomes a question mark. */
    readonly unicode: boolean,
  ) {
    this.chars = new Array<string>(width * height).fill(' ');
    this.roles = new Uint8Array(width * height);
  }

  /** Writes text from (x, y) on, up to and not including column `end`; returns the column behind it. */
  put(x: number, y: number, text: string, role: Role, end = this.width): number {
    const limit = Math.min(end, this.width);
    if (y < 0 || y >= this.height) return x;
    const number = NUMBER.get(role)!;
    let at = x;
    for (const char of text) {
      if (at >= limit) break;
      if (at >= 0) {
        this.chars[y * this.width + at] = narrow(char, this.unicode);
        this.roles[y * this.width + at] = number;
      }
      at++;
    }
    return at;
  }

  spans(x: number, y: number, spans: readonly Span[], end = this.width): number {
    let at = x;
    for (const { text, role } of spans) at = this.put(at, y, text, role, end);
    return at;
  }

  select(x: number, y: number, width: number): void {
    if (y < 0 || y >= this.height) return;
    for (let i = Math.max(0, x); i < Math.min(x + width, this.width); i++) this.roles[y * this.width + i]! |= SELECTED;
  }

  /** The text of a row, without the blanks at its end. */
  text(y: number): string {
    return this.chars
      .slice(y * this.width, (y + 1) * this.width)
      .join('')
      .trimEnd();
  }
}

/** Columns that the spans take. */
export function widthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, { text }) => sum + [...text].length, 0);
}

/** Text in exactly `width` columns: filled with blanks, or cut with a sign that says so. */
export function fit(text: string, width: number, more: string): string {
  if (width <= 0) return '';
  if (text.length <= width) return text.padEnd(width);
  return text.slice(0, width - 1) + more;
}

/** Text in lines of at most `width` columns, broken at blanks; lines after the first are indented. */
export function wrap(text: string, width: number, indent = 2): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width && width > indent + 8) {
    const from = lines.length === 0 ? 0 : indent;
    const blank = rest.lastIndexOf(' ', width);
    const end = blank > from + 8 ? blank : width;
    lines.push(rest.slice(0, end));
    rest = ' '.repeat(indent) + rest.slice(end).trimStart();
  }
  lines.push(rest);
  return lines;
}
