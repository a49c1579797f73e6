/** One run over one file: reads statements, runs macros and conditions, fills sections. */

import { conditions, directives } from './directives.js';
import {
  anchorOf,
  constantOf,
  type Distance,
  EvaluationError,
  type Expression,
  evaluate,
  type Names,
  parseExpression,
  reduce,
  type Value,
} from './expression.js';
import { type InstructionEncoder, prefixByte } from './instruction.js';
import { isDigit, Scanner, statements } from './lexer.js';
import { type Alternate, bindArguments, expandBody, LINE_LIMIT, type Macro } from './macro.js';
import { type Operand, parseOperand } from './operand.js';
import type { Preprocessor } from './preprocessor.js';
import { Fragment, SECTION_LIMIT, Section, type SectionFlags, type Tail } from './section.js';
import { errorAt, type Place, type SourceLine } from './source.js';
import { AsmSymbol, SymbolTable } from './symbols.js';

/** A branch of `.if`. */
export interface OpenCondition {
  active: boolean;
  taken: boolean;
  readonly outer: boolean;
  elseSeen: boolean;
  readonly place: Place;
}

/** Lines being read: a file, or one expansion. */
interface LineSource {
  readonly lines: readonly SourceLine[];
  at: number;
  /** How many conditions were open when it began. */
  readonly conditions: number;
  readonly macro: boolean;
}

/** What is to be done with the lines up to `.endm` or `.endr`. */
interface Collection {
  readonly body: SourceLine[];
  readonly opens: RegExp;
  readonly closes: RegExp;
  readonly closing: string;
  depth: number;
  readonly place: Place;
  readonly opening: string;
  readonly finish: (body: readonly SourceLine[]) => void;
}

export interface SectionPlace {
  readonly section: Section;
  readonly subsection: number;
}

/** The symbol of `name` and `name + number`. */
function namedIn(expression: Expression): AsmSymbol | undefined {
  if (expression.kind === 'symbol') return expression.symbol;
  if (expression.kind !== 'binary' || expression.right.kind !== 'number') return undefined;
  return namedIn(expression.left);
}

export class Assembly implements Names {
  readonly symbols = new SymbolTable();
  readonly sections = new Map<string, Section>();
  readonly macros = new Map<string, Macro>();
  readonly conditions: OpenCondition[] = [];
  readonly sectionStack: { current: SectionPlace; previous: SectionPlace }[] = [];
  current: SectionPlace;
  previous: SectionPlace;
  /** `.altmacro` is in force. */
  alternateMacros = false;
  private freshNames = 0;
  /** How many macros have run: `\@`. */
  private expansions = 0;
  private linesRead = 0;
  private readonly sources: LineSource[] = [];
  private collection: Collection | undefined;
  private open: Fragment;
  private hereLabel: AsmSymbol | undefined;
  private pendingPrefixes: number[] = [];
  private ended = false;

  constructor(
    private readonly encoder: InstructionEncoder,
    readonly preprocessor: Preprocessor,
  ) {
    const text = new Section('.text', { alloc: true, write: false, exec: true, nobits: false, merge: false });
    this.sections.set(text.name, text);
    const start = this.symbols.get(text.name);
    start.label = { fragment: text.open(0), offset: 0 };
    start.isSection = true;
    this.current = { section: text, subsection: 0 };
    this.previous = this.current;
    this.open = text.open(0);
  }

  run(lines: readonly SourceLine[]): void {
    this.push(lines, false);
    while (!this.ended) {
      const source = this.sources.at(-1);
      if (!source) break;
      const line = source.lines[source.at++];
      if (!line) {
        this.leave(source);
        continue;
      }
      if (++this.linesRead > LINE_LIMIT)
        throw errorAt({ line, offset: 0 }, `more than ${LINE_LIMIT} lines after expansion`, 'a repetition that ends');
      this.line(line);
    }
    if (this.collection)
      throw errorAt(
        this.collection.place,
        `${this.collection.opening} without ${this.collection.closing}`,
        this.collection.closing,
      );
    const open = this.conditions.at(-1);
    if (open) throw errorAt(open.place, '.if without .endif', '.endif before the end of the file');
  }

  end(): void {
    this.ended = true;
    this.conditions.length = 0;
  }

  push(lines: readonly SourceLine[], macro: boolean): void {
    this.sources.push({ lines, at: 0, conditions: this.conditions.length, macro });
  }

  private leave(source: LineSource): void {
    if (this.collection && this.sources.length > 1)
      throw errorAt(
        this.collection.place,
        `${this.collection.opening} without ${this.collection.closing} in this expansion`,
        this.collection.closing,
      );
    if (this.conditions.length > source.conditions && this.sources.length > 1)
      throw errorAt(this.conditions.at(-1)!.place, '.if without .endif in this macro', '.endif');
    this.sources.pop();
  }

  /** `.exitm`: gives the innermost expansion up, with the conditions that it opened. */
  exitMacro(place: Place): void {
    const source = this.sources.at(-1)!;
    if (!source.macro) throw errorAt(place, '.exitm outside of a macro');
    this.conditions.length = source.conditions;
    source.at = source.lines.length;
  }

  /** Takes the lines up to `closing` (nested pairs counted) instead of running them. */
  collect(
    place: Place,
    opening: string,
    opens: RegExp,
    closes: RegExp,
    closing: string,
    finish: (body: readonly SourceLine[]) => void,
  ): void {
    this.collection = { body: [], opens, closes, closing, depth: 0, place, opening, finish };
  }

  /** The body with values put in. */
  expand(
    body: readonly SourceLine[],
    values: ReadonlyMap<string, string>,
    name: string,
    from: SourceLine,
    macro: boolean,
  ): SourceLine[] {
    const count = macro ? this.expansions++ : this.expansions;
    return expandBody(body, { values, count, alternate: this.alternate, macro }, name, from);
  }

  /** What `.altmacro` adds, while it is in force. */
  get alternate(): Alternate | undefined {
    if (!this.alternateMacros) return undefined;
    return {
      value: (scanner) => this.absolute(scanner, 'the value of %'),
      freshName: () => `.LL${(++this.freshNames).toString(16).padStart(4, '0')}`,
    };
  }

  get active(): boolean {
    return this.conditions.at(-1)?.active ?? true;
  }

  private line(line: SourceLine): void {
    const { text } = line;
    for (const [from, to] of statements(text)) {
      const source = this.sources.length;
      if (this.collection) this.collectStatement(line, from, to);
      else this.statement(new Scanner(line, from, to));
      if (this.ended) return;
      // A macro or a repetition on a line with more statements: they come after its expansion.
      if (this.sources.length > source && to < text.length && text[to] === ';') {
        const expansion = this.sources.pop()!;
        const rest: SourceLine = { ...line, text: ' '.repeat(to + 1) + text.slice(to + 1) };
        this.push([rest], false);
        this.sources.push(expansion);
        return;
      }
    }
  }

  /** Takes one statement of a line. */
  private collectStatement(line: SourceLine, from: number, to: number): void {
    const collection = this.collection!;
    const { text } = line;
    const whole = from === 0 && to === text.length;
    const shown: SourceLine = whole ? line : { ...line, text: ' '.repeat(from) + text.slice(from, to) };
    const statement = shown.text.trimStart().replace(/^(?:[\w.$]+:\s*)+/, '');
    if (collection.opens.test(statement)) collection.depth++;
    else if (collection.closes.test(statement)) {
      if (collection.depth === 0) {
        this.collection = undefined;
        collection.finish(collection.body);
        return;
      }
      collection.depth--;
    }
    collection.body.push(shown);
  }

  private statement(scanner: Scanner): void {
    for (;;) {
      scanner.skipSpace();
      if (scanner.at >= scanner.end) return;
      const start = scanner.at;
      const code = scanner.text.charCodeAt(start);
      if (isDigit(code)) {
        let to = start;
        while (to < scanner.end && isDigit(scanner.text.charCodeAt(to))) to++;
        scanner.at = to;
        if (!scanner.take(':')) {
          if (!this.active) return;
          scanner.fail(
            `statement starts with ${scanner.text.slice(start, to)}`,
            'an instruction, a directive or a label',
            start,
          );
        }
        if (this.active) this.label(this.symbols.defineNumeric(scanner.text.slice(start, to)), scanner.place(start));
        continue;
      }
      const name = scanner.text[start] === '"' && this.active ? scanner.expectName('a name') : scanner.name();
      if (name === undefined) {
        if (!this.active) return;
        if (scanner.text[start] === '{')
          scanner.fail('pseudo prefixes in braces are not supported', 'the plain instruction');
        scanner.fail(`statement starts with ${scanner.found()}`, 'an instruction, a directive or a label');
      }
      if (scanner.take(':')) {
        if (this.active) this.label(this.symbolToDefine(name, scanner.place(start)), scanner.place(start));
        continue;
      }
      this.command(name, scanner, start);
      return;
    }
  }

  private command(name: string, scanner: Scanner, start: number): void {
    const lower = name.toLowerCase();
    const condition = conditions.get(lower);
    if (condition) {
      condition(this, scanner, lower, start);
      return;
    }
    if (!this.active) return;
    if (scanner.peek() === '=' && name !== '.') {
      const twice = scanner.text[scanner.at + 1] === '=';
      scanner.at += twice ? 2 : 1;
      this.equate(name, this.expression(scanner), scanner.place(start), !twice);
      scanner.expectEnd('the value');
      return;
    }
    if (name === '.' && scanner.take('=')) {
      this.origin(this.expression(scanner), 0, scanner.place(start));
      scanner.expectEnd('the value');
      return;
    }
    const macro = this.macros.get(lower);
    if (macro) {
      const values = bindArguments(macro, scanner, this.alternate);
      const from = { ...scanner.line };
      this.push(this.expand(macro.body, values, macro.name, from, true), true);
      return;
    }
    if (lower.startsWith('.')) {
      const directive = directives.get(lower);
      if (!directive)
        scanner.fail(`unknown directive "${name}"`, 'a directive of GNU as that this assembler knows', start);
      directive(this, scanner, lower, start);
      return;
    }
    this.instruction(lower, scanner, start);
  }

  // Symbols

  symbol(name: string): AsmSymbol {
    return this.symbols.get(name);
  }

  backward(number: string): AsmSymbol | undefined {
    return this.symbols.backward(number);
  }

  forward(number: string): AsmSymbol {
    return this.symbols.forward(number);
  }

  register(name: string): string | undefined {
    const equated = this.symbols.find(name)?.equated;
    return equated?.kind === 'register' ? equated.name : undefined;
  }

  here(): AsmSymbol {
    const { open } = this;
    if (this.hereLabel?.label?.fragment === open && this.hereLabel.label.offset === open.length) return this.hereLabel;
    const symbol = new AsmSymbol('.', true);
    symbol.label = { fragment: open, offset: open.length };
    this.hereLabel = symbol;
    return symbol;
  }

  private symbolToDefine(name: string, place: Place): AsmSymbol {
    const symbol = this.symbols.get(name);
    if (symbol.defined) this.refuseRedefinition(symbol, place);
    return symbol;
  }

  private refuseRedefinition(symbol: AsmSymbol, place: Place): never {
    const { definedAt } = symbol;
    const where = definedAt ? ` at ${definedAt.line.frame.file}:${definedAt.line.line}` : '';
    throw errorAt(place, `symbol "${symbol.name}" is already defined${where}`, 'another name');
  }

  private label(symbol: AsmSymbol, place: Place): void {
    symbol.label = { fragment: this.open, offset: this.open.length };
    symbol.definedAt = place;
  }

  /** `.set name, value`; `.equiv` and `==` refuse a name that has a value. */
  equate(name: string, expression: Expression, place: Place, redefinable: boolean): void {
    let symbol = this.symbols.get(name);
    if (symbol.label || (symbol.equated && !(redefinable && symbol.redefinable)))
      this.refuseRedefinition(symbol, place);
    // Uses that were already parsed keep the old value; numbers were put in on the spot.
    if (symbol.equated && symbol.equated.kind !== 'number' && symbol.equated.kind !== 'register')
      symbol = this.symbols.redefine(symbol);
    const value = this.constantNow(expression);
    symbol.equated = value === undefined ? expression : { kind: 'number', value };
    symbol.redefinable = redefinable;
    symbol.definedAt = place;
    // As GNU as does: what is known of the other symbol now; of one that comes later, what is known in the end.
    const target = namedIn(symbol.equated) ?? this.valueNow(symbol.equated)?.plus[0];
    if (target?.defined) symbol.describeAs(target);
  }

  /** Distance of labels as far as it is fixed already: within one fragment. */
  readonly fixedDistance: Distance = (a, b) => {
    const from = anchorOf(a);
    const to = anchorOf(b);
    if (!from || !to || from.label.fragment !== to.label.fragment) return undefined;
    return BigInt(from.label.offset - to.label.offset) + from.constant - to.constant;
  };

  /** Parses an expression; symbols that have a number by now are replaced by it. */
  expression(scanner: Scanner): Expression {
    return this.frozen(parseExpression(scanner, this));
  }

  private frozen(expression: Expression): Expression {
    switch (expression.kind) {
      case 'symbol': {
        const { symbol } = expression;
        if (symbol.equated?.kind === 'number') return symbol.equated;
        if (symbol.equated?.kind === 'register') return symbol.equated;
        symbol.usedAt ??= expression.place;
        return expression;
      }
      case 'unary': {
        const operand = this.frozen(expression.operand);
        return operand === expression.operand ? expression : { ...expression, operand };
      }
      case 'binary': {
        const left = this.frozen(expression.left);
        const right = this.frozen(expression.right);
        return left === expression.left && right === expression.right ? expression : { ...expression, left, right };
      }
      default:
        return expression;
    }
  }

  /** The value if it is a number already. */
  constantNow(expression: Expression): bigint | undefined {
    return expression.kind === 'number' ? expression.value : constantOf(this.valueNow(expression));
  }

  private valueNow(expression: Expression): Value | undefined {
    if (expression.kind === 'register') return undefined;
    try {
      const value = evaluate(expression, this.fixedDistance);
      return value && reduce(value, this.fixedDistance);
    } catch (error) {
      if (error instanceof EvaluationError) throw errorAt(error.place, error.message, error.expected);
      throw error;
    }
  }

  /** A number that must be known at this point. */
  absolute(scanner: Scanner, what: string): bigint {
    scanner.skipSpace();
    const at = scanner.at;
    const value = this.constantNow(this.expression(scanner));
    if (value === undefined)
      scanner.fail(
        `${what} is not known at this point`,
        'a number, or labels with only fixed-size code between them',
        at,
      );
    return value;
  }

  // Sections

  section(name: string, flags: SectionFlags, subsection: number, place: Place): SectionPlace {
    let section = this.sections.get(name);
    if (!section) {
      section = new Section(name, flags);
      this.sections.set(name, section);
      const symbol = this.symbols.get(name);
      if (!symbol.defined) {
        symbol.label = { fragment: section.open(0), offset: 0 };
        symbol.isSection = true;
      }
    }
    section.touched = true;
    if (subsection < 0 || subsection > 8192) throw errorAt(place, `subsection ${subsection}`, '0 to 8192');
    return { section, subsection };
  }

  enter(place: SectionPlace): void {
    this.previous = this.current;
    this.current = place;
    this.open = place.section.open(place.subsection);
  }

  /** Sets both without remembering: `.popsection`. */
  restore(entry: { current: SectionPlace; previous: SectionPlace }): void {
    this.current = entry.current;
    this.previous = entry.previous;
    this.open = this.current.section.open(this.current.subsection);
  }

  // Contents

  /** Appends bytes to the open fragment. Fixups count from the first of them. */
  emit(bytes: Uint8Array, place: Place): number {
    const { open } = this;
    this.room(bytes.length, place);
    if (open.section.flags.nobits && bytes.some((byte) => byte !== 0)) this.refuseContents(place);
    open.part.bytes.set(bytes, open.part.used);
    open.part.used += bytes.length;
    const offset = open.length;
    open.length += bytes.length;
    return offset;
  }

  /** Appends `count` copies of a pattern. */
  emitFill(count: number, pattern: Uint8Array, place: Place): void {
    const size = count * pattern.length;
    this.room(size, place);
    const { open } = this;
    if (pattern.some((byte) => byte !== 0)) {
      if (open.section.flags.nobits) this.refuseContents(place);
      for (let i = 0; i < size; i++) open.part.bytes[open.part.used + i] = pattern[i % pattern.length]!;
    }
    open.part.used += size;
    open.length += size;
  }

  private refuseContents(place: Place): never {
    throw errorAt(
      place,
      `section ${this.open.section.name} has no contents in the file`,
      'zeros, or a section like .data',
    );
  }

  private room(count: number, place: Place): void {
    const { part, section } = this.open;
    if (part.used + count > SECTION_LIMIT)
      throw errorAt(place, `section ${section.name} is larger than ${SECTION_LIMIT} bytes`, 'a smaller size');
    part.reserve(count);
    section.touched = true;
  }

  get fragment(): Fragment {
    return this.open;
  }

  /** Ends the open fragment with something of unknown size. */
  close(tail: Tail): void {
    const { open } = this;
    open.tail = tail;
    open.section.touched = true;
    this.open = new Fragment(open.section, open.part, open.part.used);
    open.part.fragments.push(this.open);
  }

  origin(target: Expression, fill: number, place: Place): void {
    this.close({ kind: 'org', target, fill, place });
  }

  /** A data field of `size` bytes. */
  emitValue(expression: Expression, size: 1 | 2 | 4 | 8, place: Place): void {
    const constant = this.constantNow(expression);
    const bytes = new Uint8Array(size);
    if (constant !== undefined) {
      const bits = BigInt(size * 8);
      if (size < 8 && (constant >= 1n << bits || constant < -(1n << bits)))
        throw errorAt(
          place,
          `value ${constant < 0n ? '-' : ''}0x${(constant < 0n ? -constant : constant).toString(16)} does not fit in ${bits} bits`,
          'a smaller value',
        );
      let rest = BigInt.asUintN(64, constant);
      for (let i = 0; i < size; i++) {
        bytes[i] = Number(rest & 0xffn);
        rest >>= 8n;
      }
      this.emit(bytes, place);
      return;
    }
    if (this.open.section.flags.nobits) this.refuseContents(place);
    const offset = this.emit(bytes, place);
    this.open.fixups.push({ offset, size, kind: 'abs', expression, adjust: 0n, place });
  }

  // Instructions

  private instruction(mnemonic: string, scanner: Scanner, start: number): void {
    const place = scanner.place(start);
    let name = mnemonic;
    const prefixes = this.pendingPrefixes;
    this.pendingPrefixes = [];
    let prefix = prefixByte(name);
    // `rex.w` has its dot inside the name already; so do the others of that kind.
    while (prefix !== undefined) {
      prefixes.push(prefix);
      if (scanner.atEnd) {
        this.mark(place, scanner);
        this.emit(Uint8Array.from(prefixes), place);
        return;
      }
      const next = scanner.name()?.toLowerCase();
      if (next === undefined) scanner.fail(`${scanner.found()} after the prefix ${name}`, 'an instruction');
      name = next;
      prefix = prefixByte(name);
    }
    if (!/^[a-z][a-z0-9]*$/.test(name))
      scanner.fail(`unknown instruction "${name}"`, 'an instruction, a directive or a macro', start);
    const operands: Operand[] = scanner.operands().map((part) => this.operand(part));
    const [first] = operands;
    if (mnemonic === 'notrack' && (first === undefined || first.kind === 'immediate' || !first.indirect))
      scanner.fail(`notrack before "${name}"`, 'an indirect call or jump', start);
    const result = this.encode(name, prefixes, operands, place);
    this.mark(place, scanner);
    if (this.open.section.flags.nobits) this.refuseContents(place);
    if (result.kind === 'branch') {
      this.room(0, place);
      this.close({
        kind: 'branch',
        target: result.target,
        short: result.short,
        near: result.near,
        place,
        grown: false,
        external: false,
      });
      return;
    }
    const offset = this.emit(result.bytes, place);
    for (const fixup of result.fixups) this.open.fixups.push({ ...fixup, offset: offset + fixup.offset });
  }

  private encode(mnemonic: string, prefixes: number[], operands: Operand[], place: Place) {
    try {
      return this.encoder.encode({ mnemonic, prefixes, operands, place }, this.fixedDistance);
    } catch (error) {
      if (error instanceof EvaluationError) throw errorAt(error.place, error.message, error.expected);
      throw error;
    }
  }

  private operand(part: Scanner): Operand {
    const operand = parseOperand(part, this);
    if (operand.kind === 'immediate') return { ...operand, expression: this.frozen(operand.expression) };
    if (operand.kind !== 'memory') return operand;
    return {
      ...operand,
      displacement: operand.displacement && this.frozen(operand.displacement),
      scale: operand.scale && this.frozen(operand.scale),
    };
  }

  private mark(place: Place, scanner: Scanner): void {
    this.open.section.marks.push({
      fragment: this.open,
      offset: this.open.length,
      place,
      text: scanner.text.slice(place.offset, scanner.end).trim(),
    });
  }
}
