/** The C preprocessor, as far as assembler files use it: comments, includes, conditions and macros. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { applyOperator, C_OPERATORS } from '../c_operators.js';
import { InputError } from '../errors.js';
import { refuseEndless } from '../files.js';
import { isDigit, isNameStart } from './lexer.js';
import { PREDEFINED } from './predefined.js';
import { errorAt, type FileFrame, type SourceLine } from './source.js';

/** Files included within each other at most this deep. */
const INCLUDE_DEPTH_LIMIT = 100;
/** Tokens that the replacement of one line may grow to. */
const TOKEN_LIMIT = 200_000;

interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'other';
  readonly text: string;
  /** White space stands before it. */
  readonly space: boolean;
  readonly column: number;
  /** Macros that may not be replaced in it any more. */
  readonly hidden: ReadonlySet<string>;
  /** Which replacement it came from; tokens of different origin must not be glued together when printed. */
  readonly origin: number;
}

interface Definition {
  readonly name: string;
  /** Undefined: an object-like macro. */
  readonly parameters: readonly string[] | undefined;
  readonly variadic: string | undefined;
  readonly body: readonly Token[];
}

const NO_NAMES: ReadonlySet<string> = new Set();

interface Condition {
  /** Lines of the current branch count. */
  active: boolean;
  /** Some branch was taken already. */
  taken: boolean;
  /** The surrounding lines count. */
  readonly outer: boolean;
  elseSeen: boolean;
  readonly line: SourceLine;
}

/** `# 12 "file.S" 1` of a preprocessor's output, and `#line 12 "file.S"`: number, file, flags. */
const LINE_MARKER = /^\s*#\s*(?:line\s+)?(\d+)\s+"((?:[^"\\]|\\.)*)"((?:\s+[1-4])*)\s*$/;

/** Names that `defined` knows although nothing defined them. */
const BUILT_IN: ReadonlySet<string> = new Set(
  '__LINE__ __FILE__ __COUNTER__ __INCLUDE_LEVEL__ __BASE_FILE__ __DATE__ __TIME__ __TIMESTAMP__ __has_include __has_include_next'.split(
    ' ',
  ),
);

/** What an option of the command line stands for. */
function commandLine(text: string): SourceLine {
  const frame: FileFrame = { file: '<command line>', path: '<command line>', includedFrom: undefined, depth: 0 };
  return { text, frame, line: 1, columns: undefined, expansion: undefined };
}

/** Splits into tokens; white space is kept only as a flag. */
function tokenize(text: string, column: (offset: number) => number, origin: number): Token[] {
  const tokens: Token[] = [];
  let space = false;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === 32 || code === 9 || code === 12 || code === 11 || code === 13) {
      space = true;
      at++;
      continue;
    }
    let to = at + 1;
    let kind: Token['kind'] = 'other';
    const c = text[at]!;
    // `$` and `.` are no part of C names in assembler files: `$VALUE` and `.MACRO` are replaced.
    if (isNameStart(code) && c !== '.' && c !== '$') {
      kind = 'name';
      while (to < text.length && /[\w\u0080-\uffff]/.test(text[to]!)) to++;
    } else if (isDigit(code) || (c === '.' && isDigit(text.charCodeAt(at + 1)))) {
      kind = 'number';
      while (
        to < text.length &&
        (/[\w.]/.test(text[to]!) || ('+-'.includes(text[to]!) && /[eEpP]/.test(text[to - 1]!)))
      )
        to++;
    } else if (c === '"' || c === "'") {
      let end = to;
      while (end < text.length && text[end] !== c) end += text[end] === '\\' ? 2 : 1;
      if (end < text.length) {
        kind = 'string';
        to = end + 1;
      }
    } else if (/^(<<|>>|<=|>=|==|!=|&&|\|\||##|\+\+|--|->)/.test(text.slice(at, at + 2))) to = at + 2;
    tokens.push({ kind, text: text.slice(at, to), space, column: column(at), hidden: NO_NAMES, origin });
    space = false;
    at = to;
  }
  return tokens;
}

function glues(left: Token, right: Token): boolean {
  if (left.origin === right.origin) return false;
  const word = (token: Token) => token.kind === 'name' || token.kind === 'number';
  if (word(left) && word(right)) return true;
  return left.text === right.text && '+-<>=&|#'.includes(left.text) && left.text.length === 1;
}

function union(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  return new Set([...a, ...b]);
}

export interface PreprocessorOptions {
  readonly defines: Readonly<Record<string, string>>;
  readonly includePaths: readonly string[];
  /** Files that are read before the first line, as if it included them (`-include`). */
  readonly forcedIncludes: readonly string[];
  readonly readFile: (path: string) => string;
}

/** Bytes of the largest file that is read. */
const MAX_FILE = 64 << 20;

/** Reads a file as text. Throws InputError that says what is wrong with the path. */
export function readSource(path: string): string {
  try {
    if (!existsSync(path)) throw new InputError(`${path}: no such file`);
    refuseEndless(path, 'an assembler file', MAX_FILE);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new InputError(`${path}: no such file`);
    if (code === 'EISDIR') throw new InputError(`${path}: is a directory; expected an assembler file`);
    if (code === 'EACCES') throw new InputError(`${path}: permission denied`);
    throw new InputError(`${path}: cannot be read (${code ?? (cause as Error).message})`);
  }
}

export class Preprocessor {
  private readonly definitions = new Map<string, Definition>();
  private readonly once = new Set<string>();
  private counter = 0;
  private origins = 0;
  private readonly out: SourceLine[] = [];
  /** Every file that was read, and its text. */
  readonly sources = new Map<string, string>();

  constructor(private readonly options: PreprocessorOptions) {
    for (const [name, value] of Object.entries({ ...PREDEFINED, ...options.defines })) {
      // As `-DNAME(x)=…` on a command line.
      const head = /^([A-Za-z_]\w*)(\(.*\))?$/.exec(name);
      if (!head) throw new InputError(`-D ${name}: not a name; expected NAME or NAME=VALUE`);
      this.define(commandLine(`${name} ${value}`), 0);
    }
  }

  /** The lines that remain of a file and what it includes. */
  run(text: string, name: string): SourceLine[] {
    for (const file of this.options.forcedIncludes) this.include(commandLine(`#include "${file}"`), '#include'.length);
    this.file(text, { file: name, path: name, includedFrom: undefined, depth: 0 });
    return this.out;
  }

  /** Text of an included file; searched next to the file that asks for it (quotes only), then in the include path. */
  open(name: string, quoted: boolean, from: SourceLine): { path: string; text: string } {
    const found = this.find(name, quoted, false, from);
    if (found) return found;
    const directories = this.directories(quoted, false, from);
    throw errorAt(
      { line: from, offset: 0 },
      `cannot find include file "${name}"`,
      directories.length === 0
        ? 'an include path (none was given)'
        : `it in ${directories.map((directory) => (directory === '' ? '.' : directory)).join(', ')}`,
    );
  }

  /** Where a file is looked for; `next`: only behind the directory that the asking file was found in. */
  private directories(quoted: boolean, next: boolean, from: SourceLine): string[] {
    const { includePaths } = this.options;
    const { path } = from.frame;
    if (next) {
      const here = includePaths.findIndex((directory) => path.startsWith(join(directory, '/')));
      if (here >= 0) return includePaths.slice(here + 1);
    }
    return [...(quoted ? [dirname(path)] : []), ...includePaths];
  }

  private find(
    name: string,
    quoted: boolean,
    next: boolean,
    from: SourceLine,
  ): { path: string; text: string } | undefined {
    const directories = this.directories(quoted, next, from);
    const candidates = isAbsolute(name) ? [name] : directories.map((directory) => join(directory, name));
    for (const path of candidates) {
      const known = this.sources.get(path);
      if (known !== undefined) return { path, text: known };
      try {
        return { path, text: this.options.readFile(path) };
      } catch (cause) {
        if (cause instanceof InputError && !cause.message.endsWith('no such file'))
          throw errorAt({ line: from, offset: 0 }, `cannot include ${cause.message}`);
      }
    }
    return undefined;
  }

  private file(text: string, frame: FileFrame): void {
    this.sources.set(frame.path, text);
    const lines = new LogicalLines(text, frame);
    const conditions: Condition[] = [];
    for (let line = lines.next(); line; line = lines.next()) {
      const directive = /^\s*#\s*([a-z_]+)\b/.exec(line.text);
      const active = conditions.at(-1)?.active ?? true;
      const marker = LINE_MARKER.exec(line.text);
      if (marker) {
        lines.moveTo(Number(marker[1]), marker[2]!.replace(/\\(.)/g, '$1'), marker[3] ?? '');
        continue;
      }
      if (directive && this.directive(directive[1]!, line, directive[0].length, conditions, active)) continue;
      if (active) this.text(line, lines);
    }
    const open = conditions.at(-1);
    if (open) throw errorAt({ line: open.line, offset: 0 }, '#if without #endif', '#endif before the end of the file');
  }

  /** Handles a directive; false if it is a comment that merely looks like one. */
  private directive(name: string, line: SourceLine, offset: number, conditions: Condition[], active: boolean): boolean {
    const at = { line, offset: line.text.indexOf('#') };
    const rest = line.text.slice(offset);
    const push = (holds: boolean) =>
      conditions.push({ active: active && holds, taken: holds, outer: active, elseSeen: false, line });
    switch (name) {
      case 'if':
        push(active && this.condition(line, offset));
        return true;
      case 'ifdef':
      case 'ifndef': {
        const word = /^\s*([A-Za-z_]\w*)/.exec(rest)?.[1];
        if (word === undefined) {
          if (active) throw errorAt({ line, offset }, `#${name} without a name`, 'the name of a macro');
          push(false);
        } else push(this.defined(word) === (name === 'ifdef'));
        return true;
      }
      case 'elif':
      case 'else':
      case 'endif': {
        const condition = conditions.at(-1);
        if (!condition) throw errorAt(at, `#${name} without #if`);
        if (name === 'endif') {
          conditions.pop();
          return true;
        }
        if (condition.elseSeen)
          throw errorAt(at, `#${name} after #else`, `#endif for the #if at line ${condition.line.line}`);
        if (name === 'else') condition.elseSeen = true;
        const holds = condition.outer && !condition.taken && (name === 'else' || this.condition(line, offset));
        condition.active = holds;
        condition.taken ||= holds;
        return true;
      }
    }
    if (!active) return true;
    switch (name) {
      case 'define':
        this.define(line, offset);
        return true;
      case 'undef': {
        const word = /^\s*([A-Za-z_]\w*)/.exec(rest)?.[1];
        if (word === undefined) throw errorAt({ line, offset }, '#undef without a name', 'the name of a macro');
        this.definitions.delete(word);
        return true;
      }
      case 'include':
      case 'include_next':
        this.include(line, offset, name === 'include_next');
        return true;
      case 'error':
        throw errorAt(at, `#error ${rest.trim()}`);
      case 'pragma':
        if (/^\s*once\b/.test(rest)) this.once.add(line.frame.file);
        return true;
      case 'warning':
      case 'ident':
        return true;
      default:
        return false;
    }
  }

  private defined(name: string): boolean {
    return this.definitions.has(name) || BUILT_IN.has(name);
  }

  private include(line: SourceLine, offset: number, next = false): void {
    const { name, quoted } = this.includedName(
      tokenize(line.text.slice(offset), () => offset + 1, ++this.origins),
      line.text.slice(offset).trim(),
      line,
      offset,
    );
    if (line.frame.depth >= INCLUDE_DEPTH_LIMIT)
      throw errorAt({ line, offset: 0 }, `files included deeper than ${INCLUDE_DEPTH_LIMIT}`, 'an include guard');
    const { path, text } = (next ? this.find(name, quoted, true, line) : undefined) ?? this.open(name, quoted, line);
    if (this.once.has(path)) return;
    const includedFrom = { frame: line.frame, line: line.line };
    this.file(text, { file: path, path, includedFrom, depth: line.frame.depth + 1 });
  }

  /** `"file"`, `<file>`, or a macro that stands for one of them. */
  private includedName(
    tokens: readonly Token[],
    text: string,
    line: SourceLine,
    offset: number,
  ): { name: string; quoted: boolean } {
    const shown = /^["<]/.test(text) ? text : print(this.replace(tokens, line) ?? []).text.trim();
    const match = /^"([^"]+)"|^<([^>]+)>/.exec(shown);
    if (!match) throw errorAt({ line, offset }, `#include ${shown}`, '"file" or <file>');
    return { name: (match[1] ?? match[2])!.trim(), quoted: match[1] !== undefined };
  }

  private define(line: SourceLine, offset: number): void {
    const match = /^\s*([A-Za-z_]\w*)/.exec(line.text.slice(offset));
    if (!match) throw errorAt({ line, offset }, '#define without a name', 'the name of a macro');
    const name = match[1]!;
    let at = offset + match[0].length;
    if (name === 'defined') throw errorAt({ line, offset }, '"defined" cannot be the name of a macro');
    let parameters: string[] | undefined;
    let variadic: string | undefined;
    if (line.text[at] === '(') {
      const close = line.text.indexOf(')', at);
      if (close < 0) throw errorAt({ line, offset: at }, `parameters of macro ${name} do not end`, '")"');
      const list = line.text.slice(at + 1, close).trim();
      parameters = list === '' ? [] : list.split(',').map((parameter) => parameter.trim());
      const last = parameters.at(-1);
      if (last?.endsWith('...')) {
        variadic = last === '...' ? '__VA_ARGS__' : last.slice(0, -3).trim();
        parameters[parameters.length - 1] = variadic;
      }
      for (const parameter of parameters) {
        if (!/^[A-Za-z_]\w*$/.test(parameter))
          throw errorAt({ line, offset: at }, `parameter "${parameter}" of macro ${name}`, 'a name');
      }
      at = close + 1;
    }
    const body = tokenize(line.text.slice(at), () => 0, 0);
    if (body.length > 0) body[0] = { ...body[0]!, space: false };
    this.definitions.set(name, { name, parameters, variadic, body });
  }

  /** A line of text: macros replaced; the arguments of a macro may go on in following lines. */
  private text(line: SourceLine, lines: LogicalLines): void {
    if (line.text.trim() === '') return;
    if (!this.mentionsMacro(line.text)) {
      this.out.push(line);
      return;
    }
    let { text } = line;
    const column = (offset: number) => (line.columns ? (line.columns[offset] ?? 1) : offset + 1);
    for (;;) {
      const tokens = tokenize(text, column, 0);
      const result = this.replace(tokens, line);
      if (result) {
        const printed = print(result);
        const lead = /^\s*/.exec(text)![0];
        this.out.push({
          text: lead + printed.text,
          frame: line.frame,
          line: line.line,
          columns: [...[...lead].map((_, i) => column(i)), ...printed.columns],
          expansion: undefined,
        });
        return;
      }
      const more = lines.next();
      if (!more || /^\s*#/.test(more.text))
        throw errorAt({ line, offset: 0 }, 'arguments of a macro do not end', '")"');
      text += ` ${more.text}`;
    }
  }

  private mentionsMacro(text: string): boolean {
    const words = text.match(/[A-Za-z_]\w*/g);
    return words?.some((word) => this.definitions.has(word) || word.startsWith('__')) ?? false;
  }

  /** Replaces macros; undefined if the arguments of one go on behind the last token. */
  private replace(tokens: readonly Token[], line: SourceLine): Token[] | undefined {
    // Work from the end of an array: the next token is the last one.
    const input = [...tokens].reverse();
    const output: Token[] = [];
    let steps = 0;
    while (input.length > 0) {
      if (++steps > TOKEN_LIMIT || input.length > TOKEN_LIMIT)
        throw errorAt({ line, offset: 0 }, 'macros of this line grow without end', `at most ${TOKEN_LIMIT} tokens`);
      const token = input.pop()!;
      if (token.kind !== 'name' || token.hidden.has(token.text)) {
        output.push(token);
        continue;
      }
      const builtin = this.builtin(token, line);
      if (builtin) {
        output.push(builtin);
        continue;
      }
      const definition = this.definitions.get(token.text);
      if (!definition) {
        output.push(token);
        continue;
      }
      if (!definition.parameters) {
        const hidden = union(token.hidden, new Set([definition.name]));
        this.pushBody(input, this.paste(definition, definition.body), token, hidden);
        continue;
      }
      if (input.at(-1)?.text !== '(') {
        output.push(token);
        continue;
      }
      const call = this.takeArguments(input);
      if (!call) return undefined;
      const hidden = union(token.hidden, new Set([definition.name]));
      this.pushBody(input, this.bind(definition, call, token, line), token, hidden);
    }
    return output;
  }

  private builtin(token: Token, line: SourceLine): Token | undefined {
    switch (token.text) {
      case '__LINE__':
        return { ...token, kind: 'number', text: String(line.line) };
      case '__FILE__':
        return { ...token, kind: 'string', text: JSON.stringify(line.frame.file) };
      case '__COUNTER__':
        return { ...token, kind: 'number', text: String(this.counter++) };
      case '__INCLUDE_LEVEL__':
        return { ...token, kind: 'number', text: String(line.frame.depth) };
      default:
        return undefined;
    }
  }

  private pushBody(input: Token[], body: readonly Token[], at: Token, hidden: ReadonlySet<string>): void {
    const origin = ++this.origins;
    for (let i = body.length - 1; i >= 0; i--) {
      const token = body[i]!;
      input.push({
        ...token,
        space: i === 0 ? at.space : token.space,
        column: at.column,
        hidden: union(token.hidden, hidden),
        origin: token.origin === 0 ? origin : token.origin,
      });
    }
  }

  /** Arguments from `(` on; undefined if the closing bracket is missing. */
  private takeArguments(input: Token[]): Token[][] | undefined {
    input.pop();
    const call: Token[][] = [[]];
    let depth = 0;
    for (;;) {
      const token = input.pop();
      if (!token) return undefined;
      if (token.text === ')' && depth-- === 0) return call;
      if (token.text === '(') depth++;
      if (token.text === ',' && depth === 0) call.push([]);
      else call.at(-1)!.push(token);
    }
  }

  private bind(definition: Definition, call: Token[][], at: Token, line: SourceLine): Token[] {
    const parameters = definition.parameters!;
    if (parameters.length === 0 && call.length === 1 && call[0]!.length === 0) call.pop();
    if (definition.variadic !== undefined && call.length >= parameters.length) {
      const rest = call.splice(parameters.length - 1);
      const joined = rest.flatMap((argument, i) =>
        i === 0
          ? argument
          : [
              {
                kind: 'other',
                text: ',',
                space: false,
                column: at.column,
                hidden: NO_NAMES,
                origin: at.origin,
              } as Token,
              ...argument,
            ],
      );
      call.push(joined);
    } else if (definition.variadic !== undefined && call.length === parameters.length - 1) call.push([]);
    if (call.length !== parameters.length)
      throw errorAt(
        { line, offset: 0 },
        `macro ${definition.name} got ${call.length} argument${call.length === 1 ? '' : 's'}`,
        `${parameters.length} (${parameters.join(', ')})`,
      );
    const raw = new Map(parameters.map((parameter, i) => [parameter, call[i]!]));
    const expanded = new Map<string, Token[]>();
    const body: Token[] = [];
    for (let i = 0; i < definition.body.length; i++) {
      const token = definition.body[i]!;
      const argument = token.kind === 'name' ? raw.get(token.text) : undefined;
      const next = definition.body[i + 1];
      if (token.text === '#' && next && raw.has(next.text)) {
        // Only what stands inside a string or character constant needs a backslash.
        const literal = raw
          .get(next.text)!
          .map((part) => (part.kind === 'string' ? { ...part, text: part.text.replace(/["\\]/g, '\\$&') } : part));
        const text = print(literal).text.trim();
        body.push({ ...token, kind: 'string', text: `"${text}"` });
        i++;
      } else if (!argument) body.push(token);
      else if (next?.text === '##' || definition.body[i - 1]?.text === '##') {
        const first = argument[0];
        // An empty argument leaves a place marker, so that `##` has something to act on.
        if (!first) body.push({ ...token, kind: 'other', text: '' });
        else body.push({ ...first, space: token.space }, ...argument.slice(1));
      } else {
        let tokens = expanded.get(token.text);
        if (!tokens) {
          tokens = this.replace(argument, line) ?? argument;
          expanded.set(token.text, tokens);
        }
        const [first, ...others] = tokens;
        if (first) body.push({ ...first, space: token.space }, ...others);
      }
    }
    return this.paste(definition, body);
  }

  /** Does the `##` of a body. */
  private paste(definition: Definition, body: readonly Token[]): Token[] {
    if (!body.some((token) => token.text === '##' || token.text === '')) return [...body];
    const out: Token[] = [];
    for (let i = 0; i < body.length; i++) {
      const token = body[i]!;
      const left = out.at(-1);
      const right = body[i + 1];
      if (token.text === '##' && left && right) {
        i++;
        // `, ## rest` with nothing in rest takes the comma away.
        if (right.text === '' && left.text === ',' && definition.variadic !== undefined) {
          out.pop();
          continue;
        }
        const text = left.text === ',' ? undefined : left.text + right.text;
        if (text === undefined) {
          out.push(right);
          continue;
        }
        const [first, ...others] = tokenize(text, () => left.column, left.origin);
        out.pop();
        if (first) out.push({ ...first, space: left.space, hidden: union(left.hidden, right.hidden) }, ...others);
        else out.push({ ...left, text: '' });
        continue;
      }
      out.push(token);
    }
    return out.filter((token) => token.text !== '');
  }

  /** Value of the expression of `#if` or `#elif`. */
  private condition(line: SourceLine, offset: number): boolean {
    const tokens = tokenize(line.text.slice(offset), (at) => offset + at + 1, 0);
    // A `#` comment that gas would skip is not part of the condition.
    const prepared: Token[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (token.text === '__has_include' || token.text === '__has_include_next') {
        const close = tokens.findIndex((other, at) => at > i && other.text === ')');
        if (tokens[i + 1]?.text !== '(' || close < 0)
          throw errorAt({ line, offset: token.column - 1 }, `${token.text} without a name`, `${token.text}(<file>)`);
        const inside = tokens.slice(i + 2, close);
        const { name, quoted } = this.includedName(inside, print(inside).text.trim(), line, token.column - 1);
        const found = this.find(name, quoted, token.text === '__has_include_next', line);
        prepared.push({ ...token, kind: 'number', text: found ? '1' : '0' });
        i = close;
        continue;
      }
      if (token.text !== 'defined') {
        prepared.push(token);
        continue;
      }
      const bracket = tokens[i + 1]?.text === '(';
      const word = tokens[i + (bracket ? 2 : 1)];
      if (word?.kind !== 'name' || (bracket && tokens[i + 3]?.text !== ')'))
        throw errorAt({ line, offset: token.column - 1 }, 'defined without a name', 'defined(NAME)');
      prepared.push({ ...token, kind: 'number', text: this.defined(word.text) ? '1' : '0' });
      i += bracket ? 3 : 1;
    }
    const result = this.replace(prepared, line);
    if (!result) throw errorAt({ line, offset }, 'arguments of a macro do not end', '")"');
    return new ConditionParser(result, line, offset).run() !== 0n;
  }
}

function print(tokens: readonly Token[]): { text: string; columns: number[] } {
  let text = '';
  const columns: number[] = [];
  let last: Token | undefined;
  for (const token of tokens) {
    if (last && (token.space || glues(last, token))) {
      text += ' ';
      columns.push(token.column);
    }
    text += token.text;
    const literal = token.origin === 0;
    for (let i = 0; i < token.text.length; i++) columns.push(literal ? token.column + i : token.column);
    last = token;
  }
  return { text, columns };
}

/** Integer expressions of `#if`, in 64 bits; names that are left count as 0. */
class ConditionParser {
  private at = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly line: SourceLine,
    private readonly offset: number,
  ) {}

  run(): bigint {
    if (this.tokens.length === 0) this.fail('#if without an expression', 'an expression');
    const value = this.ternary();
    if (this.at < this.tokens.length) this.fail(`"${this.tokens[this.at]!.text}" in #if`, 'an operator');
    return value;
  }

  private fail(what: string, expected: string): never {
    const column = this.tokens[this.at]?.column;
    throw errorAt({ line: this.line, offset: column === undefined ? this.offset : column - 1 }, what, expected);
  }

  private take(text: string): boolean {
    if (this.tokens[this.at]?.text !== text) return false;
    this.at++;
    return true;
  }

  private ternary(): bigint {
    const condition = this.binary(0);
    if (!this.take('?')) return condition;
    const yes = this.ternary();
    if (!this.take(':')) this.fail('"?" without ":"', '":"');
    const no = this.ternary();
    return condition !== 0n ? yes : no;
  }

  private binary(level: number): bigint {
    const operators = C_OPERATORS[level];
    if (!operators) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const operator = this.tokens[this.at]?.text;
      if (operator === undefined || !operators.includes(operator)) return left;
      this.at++;
      // An operand that is not evaluated in C may divide by zero; the value is then not used.
      left = BigInt.asIntN(64, applyOperator(operator, left, this.binary(level + 1)) ?? 0n);
    }
  }

  private unary(): bigint {
    if (this.take('!')) return this.unary() === 0n ? 1n : 0n;
    if (this.take('-')) return -this.unary();
    if (this.take('+')) return this.unary();
    if (this.take('~')) return ~this.unary();
    if (this.take('(')) {
      const value = this.ternary();
      if (!this.take(')')) this.fail('bracket without an end in #if', '")"');
      return value;
    }
    const token = this.tokens[this.at];
    if (!token) this.fail('expression of #if ends too early', 'a number or a name');
    if (token.kind === 'name') {
      this.at++;
      if (BUILT_IN.has(token.text)) this.fail(`${token.text} is not supported`, 'defined(NAME)');
      return 0n;
    }
    if (token.kind === 'number') {
      const digits = /^(0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)[uUlL]*$/.exec(token.text)?.[1];
      if (digits === undefined || /^0[0-9]*[89]/.test(digits))
        this.fail(`bad number "${token.text}" in #if`, 'an integer');
      this.at++;
      return BigInt.asIntN(64, BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase()));
    }
    if (token.kind === 'string' && /^'.'$/.test(token.text)) {
      this.at++;
      return BigInt(token.text.charCodeAt(1));
    }
    return this.fail(`"${token.text}" in #if`, 'a number or a name');
  }
}

/** Joins continuation lines and blanks comments out, so that columns stay what they are. */
class LogicalLines {
  private readonly lines: string[];
  private at = 0;
  /** Added to a line's number, since a line marker said so. */
  private shift = 0;
  private readonly depth: number;
  private inComment = false;
  private commentLine: number | undefined;

  constructor(
    text: string,
    private frame: FileFrame,
  ) {
    this.depth = frame.depth;
    this.lines = text.replace(/^\uFEFF/, '').split('\n');
  }

  /** The next line is `line` of `file`, as a line marker says; flag 1 enters an included file, 2 goes back. */
  moveTo(line: number, file: string, flags: string): void {
    const { frame } = this;
    const from = this.at + this.shift;
    this.shift = line - 1 - this.at;
    if (flags.includes('1'))
      this.frame = { ...frame, file, includedFrom: { frame, line: from }, depth: frame.depth + 1 };
    else if (flags.includes('2') && frame.includedFrom && frame.depth > this.depth)
      this.frame = { ...frame.includedFrom.frame, file };
    else this.frame = { ...frame, file };
  }

  next(): SourceLine | undefined {
    if (this.at >= this.lines.length) {
      if (this.inComment) {
        this.inComment = false;
        const line = { text: '', frame: this.frame, line: this.commentLine!, columns: undefined, expansion: undefined };
        throw errorAt({ line, offset: 0 }, 'comment without an end', '"*/"');
      }
      return undefined;
    }
    const number = this.at + 1 + this.shift;
    let text = this.physical();
    let columns: number[] | undefined;
    // A comment that goes on joins the lines, as a backslash does; but only the rest of a directive belongs to it.
    while (this.at < this.lines.length) {
      const continued = /\\\r?$/.test(text);
      if (!continued && !(this.inComment && text.trim() !== '')) break;
      columns ??= Array.from(text, (_, i) => i + 1);
      if (continued) text = text.replace(/\\\r?$/, '');
      columns.length = text.length;
      const more = this.physical();
      for (let i = 0; i < more.length; i++) columns.push(i + 1);
      text += more;
    }
    if (text.endsWith('\r')) text = text.slice(0, -1);
    return { text, frame: this.frame, line: number, columns, expansion: undefined };
  }

  /** The next line of the file with its comments blanked out. */
  private physical(): string {
    const text = this.lines[this.at++]!;
    if (!this.inComment && !text.includes('/')) return text;
    let out = '';
    for (let at = 0; at < text.length; ) {
      if (this.inComment) {
        const end = text.indexOf('*/', at);
        const to = end < 0 ? text.length : end + 2;
        // A continuation backslash inside a comment does not matter: the comment joins the lines anyway.
        out += ' '.repeat(to - at);
        at = to;
        if (end >= 0) this.inComment = false;
        continue;
      }
      const c = text[at]!;
      if (c === '/' && text[at + 1] === '*') {
        this.inComment = true;
        this.commentLine = this.at + this.shift;
        out += '  ';
        at += 2;
      } else if (c === '/' && text[at + 1] === '/') {
        // `// … \` continues the comment in the next line.
        return out + (/\\\r?$/.test(text) ? '\\' : '');
      } else if (c === '"') {
        let end = at + 1;
        while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
        const to = end < text.length ? end + 1 : at + 1;
        out += text.slice(at, to);
        at = to;
      } else if (c === "'" && text[at + 1] === '"') {
        out += text.slice(at, at + 2);
        at += 2;
      } else {
        out += c;
        at++;
      }
    }
    return out;
  }
}
