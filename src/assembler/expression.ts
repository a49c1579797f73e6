/** Expressions: the grammar and the arithmetic of GNU as, in 64 bits that wrap. */
import { isDigit, type Scanner } from './lexer.js';
import type { Place } from './source.js';
import type { AsmSymbol, Label } from './symbols.js';

export type Expression =
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'symbol'; readonly symbol: AsmSymbol; readonly place: Place }
  /** A register (lower case, without `%`): may be compared with another one, or be what a name stands for. */
  | { readonly kind: 'register'; readonly name: string; readonly place: Place }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression; readonly place: Place }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
      readonly place: Place;
    };

/** A number plus labels minus labels; all-constant if both lists are empty. */
export interface Value {
  readonly constant: bigint;
  readonly plus: readonly AsmSymbol[];
  readonly minus: readonly AsmSymbol[];
}

/** How the parser turns names into symbols. */
export interface Names {
  symbol(name: string): AsmSymbol;
  /** `1b`: undefined if there is no such label yet. */
  backward(number: string): AsmSymbol | undefined;
  forward(number: string): AsmSymbol;
  /** The location counter. */
  here(): AsmSymbol;
  /** The register that a name stands for (`.set NAME, %rax`), without `%`. */
  register(name: string): string | undefined;
}

const NONE: readonly AsmSymbol[] = [];

export function wrap(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

export function constantOf(value: Value | undefined): bigint | undefined {
  return value && value.plus.length === 0 && value.minus.length === 0 ? value.constant : undefined;
}

const RANKS: Readonly<Record<string, number>> = {
  '||': 1,
  '&&': 2,
  '==': 3,
  '!=': 3,
  '<>': 3,
  '<': 3,
  '<=': 3,
  '>': 3,
  '>=': 3,
  '+': 4,
  '-': 4,
  '|': 5,
  '^': 5,
  '&': 5,
  '!': 5,
  '*': 6,
  '/': 6,
  '%': 6,
  '<<': 6,
  '>>': 6,
};

const OPERATORS = ['||', '&&', '==', '!=', '<>', '<<', '>>', '<=', '>=', ...'<>+-|^&!*/%'];

/** Brackets and signs nest at most this deep. */
const DEPTH_LIMIT = 200;

function operatorAt(scanner: Scanner): string | undefined {
  scanner.skipSpace();
  for (const operator of OPERATORS) {
    if (scanner.text.startsWith(operator, scanner.at) && scanner.at + operator.length <= scanner.end) return operator;
  }
  return undefined;
}

/** Parses the longest expression at the scanner; fails with "expected an expression". */
export function parseExpression(scanner: Scanner, names: Names): Expression {
  return parseBinary(scanner, names, 1, 0);
}

function parseBinary(scanner: Scanner, names: Names, rank: number, depth: number): Expression {
  let left = parseOperand(scanner, names, depth);
  for (;;) {
    const operator = operatorAt(scanner);
    const its = operator === undefined ? 0 : RANKS[operator]!;
    if (operator === undefined || its < rank) return left;
    const place = scanner.place();
    scanner.at += operator.length;
    left = { kind: 'binary', operator, left, right: parseBinary(scanner, names, its + 1, depth + 1), place };
  }
}

function parseOperand(scanner: Scanner, names: Names, depth: number): Expression {
  if (depth > DEPTH_LIMIT) scanner.fail(`expression nested deeper than ${DEPTH_LIMIT}`);
  const c = scanner.peek();
  const place = scanner.place();
  if (c === '(') {
    scanner.at++;
    const inner = parseBinary(scanner, names, 1, depth + 1);
    scanner.expect(')', 'the expression in brackets');
    return inner;
  }
  if (c === '-' || c === '~' || c === '!' || c === '+') {
    scanner.at++;
    const operand = parseOperand(scanner, names, depth + 1);
    return c === '+' ? operand : { kind: 'unary', operator: c, operand, place };
  }
  if (c === "'") return { kind: 'number', value: scanner.character() };
  if (c === '%') {
    scanner.at++;
    const register = scanner.name()?.toLowerCase();
    if (register === undefined) scanner.fail('"%" without a register', 'an expression', place.offset);
    return { kind: 'register', name: register, place };
  }
  if (c !== '' && isDigit(c.charCodeAt(0))) return parseNumber(scanner, names);
  if (c === '"') {
    const name = scanner.expectName('a symbol');
    return { kind: 'symbol', symbol: names.symbol(name), place };
  }
  const name = scanner.name();
  if (name === undefined) scanner.fail(scanner.found(), 'an expression');
  if (name === '.') return { kind: 'symbol', symbol: names.here(), place };
  return { kind: 'symbol', symbol: names.symbol(name), place };
}

function parseNumber(scanner: Scanner, names: Names): Expression {
  const { text, at } = scanner;
  let to = at;
  while (to < scanner.end && /[0-9A-Za-z_]/.test(text[to]!)) to++;
  const word = text.slice(at, to);
  const place = scanner.place();
  let value: bigint | undefined;
  if (/^[0-9]+[bf]$/.test(word)) {
    const number = word.slice(0, -1);
    scanner.at = to;
    const symbol = word.endsWith('b') ? names.backward(number) : names.forward(number);
    if (!symbol) scanner.fail(`there is no label ${number}: before this line`, `${number}f, or a ${number}: above`, at);
    return { kind: 'symbol', symbol, place };
  }
  if (/^0[xX][0-9a-fA-F]+$/.test(word) || /^0[bB][01]+$/.test(word)) value = BigInt(word.toLowerCase());
  else if (/^0[0-7]*$/.test(word)) value = BigInt(`0o0${word.slice(1)}`);
  else if (/^[1-9][0-9]*$/.test(word)) value = BigInt(word);
  // C suffixes (1UL) are not assembler syntax: GNU as refuses them too.
  if (value === undefined)
    scanner.fail(`bad number "${word}"`, 'a decimal, 0x, 0b or octal number, or a label like 1b');
  if (value >> 64n !== 0n) scanner.fail(`number "${word}" does not fit in 64 bits`, 'at most 64 bits');
  scanner.at = to;
  return { kind: 'number', value: wrap(value) };
}

/** The label that a symbol stands for, and how far behind it; undefined if it stands for no label. */
export function anchorOf(symbol: AsmSymbol, depth = 0): { label: Label; constant: bigint } | undefined {
  if (symbol.label) return { label: symbol.label, constant: 0n };
  if (!symbol.equated || symbol.equated.kind === 'register' || depth > 200) return undefined;
  const value = evaluate(symbol.equated, () => undefined);
  if (value?.plus.length !== 1 || value.minus.length !== 0) return undefined;
  const anchor = anchorOf(value.plus[0]!, depth + 1);
  return anchor && { label: anchor.label, constant: anchor.constant + value.constant };
}

/** Distance a − b of two labels in bytes, or undefined while it is not fixed. */
export type Distance = (a: AsmSymbol, b: AsmSymbol) => bigint | undefined;

export class EvaluationError extends Error {
  constructor(
    readonly place: Place,
    message: string,
    readonly expected?: string,
  ) {
    super(message);
  }
}

/**
 * The value of an expression as far as it can be told. Undefined: it depends on labels in a way that is not a sum yet
 * (`(1f - 0b) > 4` before the distance is known). Throws EvaluationError for what can never have a value.
 */
export function evaluate(expression: Expression, distance: Distance, depth = 0): Value | undefined {
  switch (expression.kind) {
    case 'number':
      return { constant: expression.value, plus: NONE, minus: NONE };
    case 'symbol': {
      const { symbol } = expression;
      if (symbol.equated) {
        if (depth > 200) throw new EvaluationError(expression.place, `symbol "${symbol.name}" is defined by itself`);
        const value = evaluate(symbol.equated, distance, depth + 1);
        // A name for a label stays that name where it is bound differently from the label.
        const [anchor] = value?.plus ?? [];
        const own = symbol.binding !== 'local' || (anchor?.label !== undefined && anchor.binding !== 'local');
        if (value && own && constantOf(value) === undefined) return { constant: 0n, plus: [symbol], minus: NONE };
        return value;
      }
      return { constant: 0n, plus: [symbol], minus: NONE };
    }
    case 'register':
      throw new EvaluationError(
        expression.place,
        `register %${expression.name} in an expression`,
        'a number or a label',
      );
    case 'unary': {
      const value = evaluate(expression.operand, distance, depth + 1);
      if (!value) return undefined;
      if (expression.operator === '-') return { constant: wrap(-value.constant), plus: value.minus, minus: value.plus };
      const constant = constantOf(reduce(value, distance));
      if (constant === undefined) return undefined;
      return number(expression.operator === '~' ? ~constant : constant === 0n ? 1n : 0n);
    }
    case 'binary':
      return evaluateBinary(expression, distance, depth);
  }
}

function number(constant: bigint): Value {
  return { constant: wrap(constant), plus: NONE, minus: NONE };
}

/** Cancels labels whose distance is known. */
export function reduce(value: Value, distance: Distance): Value {
  if (value.plus.length === 0 || value.minus.length === 0) return value;
  let { constant } = value;
  const plus = [...value.plus];
  const minus = [...value.minus];
  for (let i = plus.length - 1; i >= 0; i--) {
    for (let j = minus.length - 1; j >= 0; j--) {
      const known = plus[i] === minus[j] ? 0n : distance(plus[i]!, minus[j]!);
      if (known === undefined) continue;
      constant += known;
      plus.splice(i, 1);
      minus.splice(j, 1);
      break;
    }
  }
  return { constant: wrap(constant), plus, minus };
}

function evaluateBinary(
  expression: Extract<Expression, { kind: 'binary' }>,
  distance: Distance,
  depth: number,
): Value | undefined {
  const { operator } = expression;
  if (expression.left.kind === 'register' && expression.right.kind === 'register') {
    const same = expression.left.name === expression.right.name;
    if (operator === '==') return number(same ? -1n : 0n);
    if (operator === '!=' || operator === '<>') return number(same ? 0n : -1n);
  }
  const left = evaluate(expression.left, distance, depth + 1);
  const right = evaluate(expression.right, distance, depth + 1);
  if (!left || !right) return undefined;
  if (operator === '+' || operator === '-') {
    const add = operator === '+';
    return reduce(
      {
        constant: wrap(add ? left.constant + right.constant : left.constant - right.constant),
        plus: [...left.plus, ...(add ? right.plus : right.minus)],
        minus: [...left.minus, ...(add ? right.minus : right.plus)],
      },
      distance,
    );
  }
  const compares = RANKS[operator] === 3;
  if (compares) {
    // Labels of one section can be compared although neither is a number.
    const difference = constantOf(
      reduce(
        {
          constant: wrap(left.constant - right.constant),
          plus: [...left.plus, ...right.minus],
          minus: [...left.minus, ...right.plus],
        },
        distance,
      ),
    );
    const a = constantOf(left);
    const b = constantOf(right);
    if (a !== undefined && b !== undefined) return number(compare(operator, a, b));
    return difference === undefined ? undefined : number(compare(operator, difference, 0n));
  }
  const a = constantOf(left);
  const b = constantOf(right);
  if (a === undefined || b === undefined) return undefined;
  return number(calculate(expression, a, b));
}

function compare(operator: string, a: bigint, b: bigint): bigint {
  const holds =
    operator === '=='
      ? a === b
      : operator === '!=' || operator === '<>'
        ? a !== b
        : operator === '<'
          ? a < b
          : operator === '<='
            ? a <= b
            : operator === '>'
              ? a > b
              : a >= b;
  return holds ? -1n : 0n;
}

function calculate(expression: Extract<Expression, { kind: 'binary' }>, a: bigint, b: bigint): bigint {
  switch (expression.operator) {
    case '*':
      return a * b;
    case '/':
    case '%':
      if (b === 0n) throw new EvaluationError(expression.place, 'division by zero', 'a divisor other than 0');
      return expression.operator === '/' ? a / b : a % b;
    case '<<':
      return b < 0n || b > 63n ? 0n : a << b;
    case '>>':
      return b < 0n || b > 63n ? 0n : BigInt.asUintN(64, a) >> b;
    case '&':
      return a & b;
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '!':
      return a | ~b;
    case '&&':
      return a !== 0n && b !== 0n ? 1n : 0n;
    default:
      return a !== 0n || b !== 0n ? 1n : 0n;
  }
}

/** Calls `visit` with every symbol of an expression, looking through `.set` symbols. */
export function forEachSymbol(
  expression: Expression,
  visit: (symbol: AsmSymbol, place: Place) => void,
  depth = 0,
): void {
  if (depth > 400) return;
  if (expression.kind === 'symbol') {
    visit(expression.symbol, expression.place);
    if (expression.symbol.equated) forEachSymbol(expression.symbol.equated, visit, depth + 1);
  } else if (expression.kind === 'unary') forEachSymbol(expression.operand, visit, depth + 1);
  else if (expression.kind === 'binary') {
    forEachSymbol(expression.left, visit, depth + 1);
    forEachSymbol(expression.right, visit, depth + 1);
  }
}
