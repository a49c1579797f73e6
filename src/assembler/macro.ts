/** `.macro`, `.rept`, `.irp`, `.irpc`: definitions, how arguments are cut, and substitution into bodies. */
import { characterConstantLength, endOfString, isNamePart, isNameStart, Scanner } from './lexer.js';
import { type Expansion, errorAt, type SourceLine } from './source.js';

export interface MacroParameter {
  readonly name: string;
  readonly preset: string;
  readonly required: boolean;
  readonly vararg: boolean;
}

export interface Macro {
  readonly name: string;
  readonly parameters: readonly MacroParameter[];
  readonly body: readonly SourceLine[];
  readonly definedAt: SourceLine;
}

/** What `.altmacro` needs of the assembly. */
export interface Alternate {
  /** Value of the expression that a scanner stands at, which is left behind it: `%expr`. */
  value(scanner: Scanner): bigint;
  /** A name that nobody has yet, for `LOCAL`. */
  freshName(): string;
}

/** Macros inside macros run at most this deep. */
export const EXPANSION_DEPTH_LIMIT = 200;
/** Lines that one file may expand to. */
export const LINE_LIMIT = 2_000_000;

/** One argument: its text (quotes around a string removed) and, if written `name=text`, the name. */
interface Argument {
  readonly text: string;
  readonly keyword: string | undefined;
  /** Offset of the argument in the line. */
  readonly at: number;
}

/** Characters that keep white space between them: elsewhere it vanishes before arguments are cut. */
function keepsSpace(c: string): boolean {
  return isNamePart(c.charCodeAt(0)) || '*%-(['.includes(c);
}

/**
 * Reduces white space as GNU as does before it looks at macro arguments, so that `a + b` is one argument and `a -b`
 * two. Returns the text and, for each character of it, its offset in the line.
 */
function squeeze(scanner: Scanner): { text: string; at: number[] } {
  const source = scanner.text;
  let text = '';
  const at: number[] = [];
  let i = scanner.skipSpace().at;
  while (i < scanner.end) {
    const c = source[i]!;
    if (c === '"') {
      const to = endOfString(source, i);
      if (to < 0) scanner.fail('string without a closing quote', 'a closing "', i);
      for (; i < to; i++) {
        text += source[i];
        at.push(i);
      }
      continue;
    }
    if (c === "'") {
      const length = characterConstantLength(source, i);
      if (length > 0) {
        const digits = String(scanner.part(i, scanner.end).character());
        text += digits;
        for (let k = 0; k < digits.length; k++) at.push(i);
        i += length;
        continue;
      }
    }
    if (c === ' ' || c === '\t') {
      const from = i;
      while (i < scanner.end && (source[i] === ' ' || source[i] === '\t')) i++;
      const before = text[text.length - 1];
      // White space behind a character constant vanishes always.
      if (
        i < scanner.end &&
        before !== undefined &&
        source[at[at.length - 1]!] !== "'" &&
        keepsSpace(before) &&
        keepsSpace(source[i]!)
      ) {
        text += ' ';
        at.push(from);
      }
      continue;
    }
    text += c;
    at.push(i);
    i++;
  }
  return { text, at };
}

/**
 * One argument at `from` of squeezed text: strings, or up to a comma, or to white space outside brackets. With `.altmacro`
 * also `<any text>`, in which `!` takes the meaning of the next character away, and `%expression`.
 */
function cutArgument(
  scanner: Scanner,
  text: string,
  from: number,
  alternate: Alternate | undefined,
): { text: string; to: number } {
  const first = text[from];
  if (first === '%' && alternate) {
    const inner = new Scanner({ ...scanner.line, text, columns: undefined }, from + 1);
    const value = alternate.value(inner);
    return { text: String(value), to: inner.at };
  }
  if (first === '"' || (alternate && (first === '<' || first === "'"))) {
    const cut = cutStrings(scanner, text, from, alternate !== undefined);
    return alternate && first !== '<' ? { ...cut, text: `"${cut.text}"` } : cut;
  }
  const brackets: string[] = [];
  let to = from;
  for (; to < text.length; to++) {
    const c = text[to]!;
    if (c === ',' || (c === ' ' && brackets.length === 0) || (c === '<' && alternate)) break;
    if (c === '"') {
      const end = endOfString(text, to);
      to = (end < 0 ? text.length : end) - 1;
    } else if (c === '(' || c === '[') brackets.push(c);
    else if (c === ')' && brackets.at(-1) === '(') brackets.pop();
    else if (c === ']' && brackets.at(-1) === '[') brackets.pop();
  }
  return { text: text.slice(from, to), to };
}

/** Strings one behind the other, without what encloses them; escapes in them stay. A doubled quote stands for one. */
function cutStrings(scanner: Scanner, text: string, from: number, alternate: boolean): { text: string; to: number } {
  let out = '';
  let to = from;
  while (text[to] === '"' || (alternate && (text[to] === '<' || text[to] === "'"))) {
    const quote = text[to++]!;
    let depth = 0;
    for (;;) {
      const c = text[to++];
      if (c === undefined)
        scanner.fail('string without a closing quote', quote === '<' ? 'a closing >' : 'a closing "');
      if (c === '!' && alternate) out += text[to++] ?? '';
      else if (c === '\\' && quote !== '<') out += c + (text[to++] ?? '');
      else if (c === (quote === '<' ? '>' : quote)) {
        if (quote === '<' ? depth-- === 0 : text[to] !== quote) break;
        if (quote !== '<') to++;
        out += c;
      } else {
        if (c === '<' && quote === '<') depth++;
        out += c;
      }
    }
  }
  return { text: out, to };
}

/** Cuts a list of values (`.irp`, or a macro's arguments). */
function cutArguments(
  scanner: Scanner,
  parameters: readonly MacroParameter[],
  alternate: Alternate | undefined,
): Argument[] {
  const { text, at } = squeeze(scanner);
  const found: Argument[] = [];
  const names = new Set(parameters.map((parameter) => parameter.name));
  let i = 0;
  while (i < text.length) {
    let keyword: string | undefined;
    const start = at[i] ?? scanner.end;
    const assignment = /^([A-Za-z_.$][\w.$]*)=/.exec(text.slice(i, i + 256));
    if (assignment && names.size > 0) {
      keyword = assignment[1]!;
      i += assignment[0].length;
    }
    const position = keyword === undefined ? found.length : parameters.findIndex((p) => p.name === keyword);
    if (parameters[position]?.vararg) {
      found.push({ text: text.slice(i), keyword, at: start });
      return found;
    }
    const argument = cutArgument(scanner, text, i, alternate);
    found.push({ text: argument.text, keyword, at: start });
    i = argument.to;
    if (text[i] === ' ') i++;
    if (text[i] === ',') {
      i++;
      if (text[i] === ' ') i++;
      // A comma at the end stands for one more, empty argument.
      if (i === text.length) found.push({ text: '', keyword: undefined, at: scanner.end });
    }
  }
  return found;
}

/** The values of `.irp name, values`; no values count as one empty value. */
export function cutValues(scanner: Scanner, alternate?: Alternate): string[] {
  const values = cutArguments(scanner, [], alternate).map((argument) => argument.text);
  return values.length === 0 ? [''] : values;
}

/** Reads what follows `.macro`: the name and the parameters. */
export function parseMacroHead(
  scanner: Scanner,
  alternate?: Alternate,
): {
  name: string;
  parameters: MacroParameter[];
} {
  const name = scanner.name();
  if (name === undefined) scanner.fail(`${scanner.found()} after .macro`, "the macro's name");
  const parameters: MacroParameter[] = [];
  scanner.take(',');
  while (!scanner.atEnd) {
    const at = scanner.at;
    const parameter = scanner.name();
    if (parameter === undefined) scanner.fail(`${scanner.found()} in the parameters of macro ${name}`, 'a name');
    if (parameters.some((other) => other.name === parameter))
      scanner.fail(`macro ${name} has two parameters called "${parameter}"`, undefined, at);
    if (parameters.at(-1)?.vararg) scanner.fail(`parameter "${parameter}" behind a :vararg parameter`, undefined, at);
    let required = false;
    let vararg = false;
    let preset = '';
    if (scanner.take(':')) {
      const qualifier = scanner.name();
      if (qualifier === 'req') required = true;
      else if (qualifier === 'vararg') vararg = true;
      else scanner.fail(`":${qualifier ?? ''}" behind parameter "${parameter}"`, ':req or :vararg', at);
    }
    if (scanner.take('=')) {
      const { text, at: offsets } = squeeze(scanner);
      const cut = cutArgument(scanner, text, 0, alternate);
      preset = cut.text;
      scanner.at = cut.to < offsets.length ? offsets[cut.to]! : scanner.end;
    }
    parameters.push({ name: parameter, preset, required, vararg });
    scanner.take(',');
  }
  return { name, parameters };
}

/** Parameter values of an invocation whose operands the scanner stands at. */
export function bindArguments(macro: Macro, scanner: Scanner, alternate?: Alternate): Map<string, string> {
  const given = new Map<string, string>();
  const start = scanner.at;
  let position = 0;
  let keywords = false;
  for (const argument of cutArguments(scanner, macro.parameters, alternate)) {
    if (argument.keyword !== undefined) {
      if (!macro.parameters.some((parameter) => parameter.name === argument.keyword))
        scanner.fail(
          `macro ${macro.name} has no parameter "${argument.keyword}"`,
          macro.parameters.map((parameter) => parameter.name).join(', '),
          argument.at,
        );
      given.set(argument.keyword, argument.text);
      keywords = true;
      continue;
    }
    if (keywords)
      scanner.fail(`positional argument behind a keyword argument of macro ${macro.name}`, 'name=value', argument.at);
    const parameter = macro.parameters[position++];
    if (!parameter) {
      const count = macro.parameters.length;
      scanner.fail(
        `too many arguments for macro ${macro.name}`,
        count === 0 ? 'none' : `at most ${count} (${macro.parameters.map((p) => p.name).join(', ')})`,
        argument.at,
      );
    }
    given.set(parameter.name, argument.text);
  }
  const values = new Map<string, string>();
  for (const parameter of macro.parameters) {
    const text = given.get(parameter.name) ?? '';
    if (text === '' && parameter.required)
      scanner.fail(`macro ${macro.name} needs a value for parameter "${parameter.name}"`, undefined, start);
    values.set(parameter.name, text === '' ? parameter.preset : text);
  }
  return values;
}

/** How values are put into a body. */
export interface Expanding {
  readonly values: ReadonlyMap<string, string>;
  /** How many macros ran before: `\@`. */
  readonly count: number;
  readonly alternate: Alternate | undefined;
  /** The body is a macro's, so that `LOCAL` may stand in it. */
  readonly macro: boolean;
}

/** Puts values into a body line: `\name`, `&name`, `\@`, `\()` (nothing); with `.altmacro` also `name` and `LOCAL name`. */
function substitute(line: SourceLine, how: Expanding, locals: Map<string, string>): SourceLine | string {
  const { text } = line;
  const { alternate } = how;
  if (!alternate && !text.includes('\\') && !text.includes('&')) return text;
  const meaningOf = (name: string) => how.values.get(name) ?? locals.get(name);
  const nameEnd = (at: number) => {
    if (at >= text.length || !isNameStart(text.charCodeAt(at))) return at;
    let to = at + 1;
    while (to < text.length && isNamePart(text.charCodeAt(to))) to++;
    return to;
  };
  // An ampersand behind a name joins it to what follows.
  const behind = (at: number) => (alternate && text[at] === '&' ? at + 1 : at);
  let out = '';
  const columns: number[] = [];
  const column = (offset: number) => (line.columns ? (line.columns[offset] ?? 1) : offset + 1);
  const put = (piece: string, at: number) => {
    for (let i = 0; i < piece.length; i++) columns.push(column(at));
    out += piece;
  };
  const copy = (from: number, to: number) => {
    for (let i = from; i < to; i++) columns.push(column(i));
    out += text.slice(from, to);
  };
  let quoted = false;
  let at = 0;
  while (at < text.length) {
    const c = text[at]!;
    if (c === '\\') {
      const next = text[at + 1];
      if (next === '@') {
        put(String(how.count), at);
        at += 2;
        continue;
      }
      if (next === '(') {
        // Up to the next bracket, as it stands.
        const end = text.indexOf(')', at);
        const to = end < 0 ? text.length : end;
        copy(at + 2, to);
        at = to + 1;
        continue;
      }
      const to = nameEnd(at + 1);
      const value = meaningOf(text.slice(at + 1, to));
      if (value === undefined) copy(at, to);
      else put(value, at);
      at = to > at + 1 ? behind(to) : to;
    } else if (c === '&') {
      // White space around it counts only inside a string and behind the mnemonic.
      let from = at + 1;
      if (!quoted) while (text[from] === ' ' || text[from] === '\t') from++;
      const to = nameEnd(from);
      const value = meaningOf(text.slice(from, to));
      if (value === undefined) {
        copy(at, to);
        at = to;
        continue;
      }
      if (!quoted && !/(?:^|[:;])\s*[\w.$]+\s+$/.test(out)) {
        out = out.trimEnd();
        columns.length = out.length;
      }
      put(value, at);
      at = text[to] === '&' ? to + 1 : to;
    } else if (alternate && /[A-Za-z_$]/.test(c)) {
      const to = nameEnd(at);
      const name = text.slice(at, to);
      if (how.macro && !quoted && name.toUpperCase() === 'LOCAL' && /[ \t]/.test(text[to] ?? '')) {
        for (const local of text.slice(to).split(/[\s,]+/)) if (local !== '') locals.set(local, alternate.freshName());
        break;
      }
      const value = meaningOf(name);
      if (value === undefined) copy(at, to);
      else put(value, at);
      at = behind(to);
    } else {
      if (c === '"') quoted = !quoted;
      const from = at++;
      while (at < text.length && !(alternate ? /[\\&"A-Za-z_$]/ : /[\\&"]/).test(text[at]!)) at++;
      copy(from, at);
    }
  }
  return { text: out, frame: line.frame, line: line.line, columns, expansion: line.expansion };
}

/** The body with values put in, as lines of their own that know where they came from. */
export function expandBody(body: readonly SourceLine[], how: Expanding, name: string, from: SourceLine): SourceLine[] {
  const expansion = expansionOf(name, from);
  const locals = new Map<string, string>();
  return body.map((line) => {
    const result = substitute(line, how, locals);
    if (typeof result === 'string')
      return { text: result, frame: line.frame, line: line.line, columns: line.columns, expansion };
    return { ...result, expansion };
  });
}

/** The body of `.rept`, which is repeated as it stands. */
export function repeated(body: readonly SourceLine[], name: string, from: SourceLine): SourceLine[] {
  const expansion = expansionOf(name, from);
  return body.map((line) => ({ ...line, expansion }));
}

function expansionOf(name: string, from: SourceLine): Expansion {
  const depth = (from.expansion?.depth ?? 0) + 1;
  if (depth > EXPANSION_DEPTH_LIMIT)
    throw errorAt(
      { line: from, offset: 0 },
      `macros nested deeper than ${EXPANSION_DEPTH_LIMIT}`,
      'a macro that does not invoke itself without end',
    );
  return { name, from, depth };
}
