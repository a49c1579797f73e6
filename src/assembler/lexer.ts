/** A cursor over one line of assembler source: names, numbers, strings, and operand lists. */
import { errorAt, type Place, type SourceLine } from './source.js';

const SPACE = 32;
const TAB = 9;

/** Characters that may start a name; digits may follow. */
export function isNameStart(code: number): boolean {
  return (
    (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code === 46 || code === 36 || code > 127
  );
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

export function isNamePart(code: number): boolean {
  return isNameStart(code) || isDigit(code);
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8, f: 12, v: 11 };

/** One escape sequence behind a backslash at `at`; `next` is the offset behind it. Values are bytes. */
function readEscape(text: string, at: number): { value: number; next: number } {
  const letter = text[at] ?? '';
  const octal = /^[0-7]{1,3}/.exec(text.slice(at, at + 3));
  if (octal) return { value: Number.parseInt(octal[0], 8) & 0xff, next: at + octal[0].length };
  if (letter === 'x' || letter === 'X') {
    const hex = /^[0-9a-fA-F]+/.exec(text.slice(at + 1));
    if (hex) return { value: Number.parseInt(hex[0].slice(-2), 16), next: at + 1 + hex[0].length };
  }
  return { value: ESCAPES[letter] ?? letter.charCodeAt(0), next: at + 1 };
}

/** Where the string that starts with a quote at `at` ends: the offset behind the closing quote, or −1. */
export function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i + 1;
  }
  return -1;
}

/** Length of the character constant (`'a`, `'a'`, `'\n'`) at `at`; 0 if there is none. */
export function characterConstantLength(text: string, at: number): number {
  if (text[at] !== "'" || at + 1 >= text.length) return 0;
  const end = text[at + 1] === '\\' ? readEscape(text, at + 2).next : at + 2;
  return (text[end] === "'" ? end + 1 : end) - at;
}

export class Scanner {
  readonly text: string;

  constructor(
    readonly line: SourceLine,
    /** Offsets into the line's text; the scanner sees nothing behind `end`. */
    public at = 0,
    readonly end = line.text.length,
  ) {
    this.text = line.text;
  }

  /** A scanner for a part of this line. */
  part(from: number, to: number): Scanner {
    return new Scanner(this.line, from, to);
  }

  place(offset = this.at): Place {
    return { line: this.line, offset };
  }

  fail(what: string, expected?: string, offset = this.at): never {
    throw errorAt(this.place(offset), what, expected);
  }

  skipSpace(): this {
    while (this.at < this.end) {
      const code = this.text.charCodeAt(this.at);
      if (code !== SPACE && code !== TAB) break;
      this.at++;
    }
    return this;
  }

  /** Next character behind white space; '' at the end. */
  peek(): string {
    this.skipSpace();
    return this.at < this.end ? this.text[this.at]! : '';
  }

  get atEnd(): boolean {
    return this.peek() === '';
  }

  /** Takes `token` if it comes next. */
  take(token: string): boolean {
    this.skipSpace();
    if (!this.text.startsWith(token, this.at) || this.at + token.length > this.end) return false;
    this.at += token.length;
    return true;
  }

  expect(token: string, after: string): void {
    if (!this.take(token)) this.fail(`${this.found()} after ${after}`, `"${token}"`);
  }

  /** What stands here, for an error message. */
  found(): string {
    this.skipSpace();
    if (this.at >= this.end) return 'end of line';
    if (isNamePart(this.text.charCodeAt(this.at))) {
      let to = this.at;
      while (to < this.end && isNamePart(this.text.charCodeAt(to))) to++;
      return `"${this.text.slice(this.at, to)}"`;
    }
    return `"${this.text[this.at]}"`;
  }

  expectEnd(after: string): void {
    if (!this.atEnd) this.fail(`${this.found()} after ${after}`, 'the end of the statement');
  }

  /** A name (letters, digits, `_`, `.`, `$`), or undefined. */
  name(): string | undefined {
    this.skipSpace();
    const from = this.at;
    if (from >= this.end || !isNameStart(this.text.charCodeAt(from))) return undefined;
    let to = from + 1;
    while (to < this.end && isNamePart(this.text.charCodeAt(to))) to++;
    this.at = to;
    return this.text.slice(from, to);
  }

  expectName(what: string): string {
    // A quoted symbol name.
    if (this.peek() === '"') return Buffer.from(this.string()).toString();
    return this.name() ?? this.fail(`${this.found()}`, what);
  }

  /** Bytes of a quoted string. */
  string(): Uint8Array {
    this.skipSpace();
    const from = this.at;
    if (this.peek() !== '"') this.fail(this.found(), 'a string in double quotes');
    const to = endOfString(this.text, from);
    if (to < 0 || to > this.end) this.fail('string without a closing quote', 'a closing "', from);
    const bytes: number[] = [];
    for (let i = from + 1; i < to - 1; ) {
      if (this.text[i] === '\\') {
        const sequence = readEscape(this.text, i + 1);
        bytes.push(sequence.value);
        i = sequence.next;
        continue;
      }
      const code = this.text.codePointAt(i)!;
      if (code < 128) bytes.push(code);
      else bytes.push(...Buffer.from(String.fromCodePoint(code)));
      i += code > 0xffff ? 2 : 1;
    }
    this.at = to;
    return Uint8Array.from(bytes);
  }

  /** Value of a character constant: `'a`, `'a'`, `'\n'`. */
  character(): bigint {
    const length = characterConstantLength(this.text, this.at);
    if (length === 0 || this.at + length > this.end) this.fail('character constant without a character', "'c'");
    const value =
      this.text[this.at + 1] === '\\'
        ? readEscape(this.text, this.at + 2).value
        : this.text.charCodeAt(this.at + 1) & 0xff;
    this.at += length;
    return BigInt(value);
  }

  /** The rest, cut at commas that are outside of brackets and quotes; empty list for an empty rest. */
  operands(): Scanner[] {
    this.skipSpace();
    if (this.at >= this.end) return [];
    const parts: Scanner[] = [];
    let depth = 0;
    let from = this.at;
    let at = this.at;
    while (at < this.end) {
      const c = this.text[at]!;
      if (c === '"') {
        const to = endOfString(this.text, at);
        if (to < 0) this.fail('string without a closing quote', 'a closing "', at);
        at = to;
        continue;
      }
      if (c === "'") {
        at += Math.max(1, characterConstantLength(this.text, at));
        continue;
      }
      if (c === '(' || c === '[' || c === '{') depth++;
      else if (c === ')' || c === ']' || c === '}') depth--;
      else if (c === ',' && depth <= 0) {
        parts.push(this.part(from, at));
        from = at + 1;
      }
      at++;
    }
    parts.push(this.part(from, this.end));
    this.at = this.end;
    return parts;
  }

  /** The rest as text, without white space around it. */
  rest(): string {
    const rest = this.text.slice(this.at, this.end).trim();
    this.at = this.end;
    return rest;
  }
}

/** Removes a `#` comment that the C preprocessor left; strings and character constants are respected. */
export function endOfCode(text: string): number {
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (c === '#') return at;
    if (c === '"') {
      const to = endOfString(text, at);
      if (to < 0) return text.length;
      at = to - 1;
    } else if (c === "'") at += Math.max(1, characterConstantLength(text, at)) - 1;
  }
  return text.length;
}

/** Cuts a line at `;`: offsets of the statements, the comment removed. */
export function statements(text: string): [from: number, to: number][] {
  const end = endOfCode(text);
  if (!text.includes(';')) return [[0, end]];
  const parts: [number, number][] = [];
  let from = 0;
  for (let at = 0; at < end; at++) {
    const c = text[at];
    if (c === ';') {
      parts.push([from, at]);
      from = at + 1;
    } else if (c === '"') {
      const to = endOfString(text, at);
      at = (to < 0 ? end : to) - 1;
    } else if (c === "'") at += Math.max(1, characterConstantLength(text, at)) - 1;
  }
  parts.push([from, end]);
  return parts;
}
