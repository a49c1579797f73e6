/**
 * Expressions of conditions, `print` and `set`: C's operators on 64-bit numbers without a sign. Names are registers, flags in capital
 * letters (IF, ZF), what only this machine has (latch, pending, cpl, depth, hit, index, cpu), and symbols of the image, which are
 * addresses. `[rsp+8]` is the 8-byte word there, `dword[…]`, `word[…]` and `byte[…]` less of it.
 */
import { applyOperator, C_OPERATORS } from '../c_operators.js';
import { Flag, REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { EventState } from '../harness/event_state.js';
import { memoryRange } from '../hooks/triggers.js';
import type { Image } from '../image/image.js';
import { nearNames } from '../suggestion.js';

/** What an expression may look at. */
export interface Scene {
  readonly image: Image;
  /** By its number; of the running processor. */
  register(number: number): bigint;
  /** Little endian; undefined where something is not mapped. */
  memory(address: bigint, length: number): bigint | undefined;
  readonly hit: number;
  readonly index: number;
  readonly depth: number;
  readonly processor: number;
}

export interface Expression {
  readonly text: string;
  /** Throws an InputError where memory is read that is not mapped, or something is divided by zero. */
  readonly value: (scene: Scene) => bigint;
  /** It is one register, and this is its number. */
  readonly register: number | undefined;
  /** It is one memory operand: its address and size. */
  readonly place: { readonly address: (scene: Scene) => bigint; readonly size: number } | undefined;
}

/** Flags of RFLAGS that have names. */
export const FLAG_NAMES = ['CF', 'PF', 'AF', 'ZF', 'SF', 'TF', 'IF', 'DF', 'OF', 'NT', 'RF', 'AC', 'ID'] as const;
const FLAGS: ReadonlySet<string> = new Set(FLAG_NAMES);

const event = (bit: number) => (scene: Scene) => (scene.register(Reg.EVENTS) & BigInt(bit) ? 1n : 0n);

/** What else has a name. */
export const PSEUDO: Readonly<Record<string, (scene: Scene) => bigint>> = {
  latch: event(EventState.NMI_BLOCKED),
  pending: event(EventState.NMI_PENDING),
  smm: event(EventState.SMM),
  halted: event(EventState.HALTED),
  cpl: (scene) => scene.register(Reg.CS) & 3n,
  depth: (scene) => BigInt(scene.depth),
  hit: (scene) => BigInt(scene.hit),
  index: (scene) => BigInt(scene.index),
  cpu: (scene) => BigInt(scene.processor),
};

const SIZES: Readonly<Record<string, number>> = { byte: 1, word: 2, dword: 4, qword: 8 };

const TOKEN = /\s*(0x[0-9a-f]+|\d+|[%$]?[A-Za-z_.][\w.$]*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>()[\]])/iy;
const MAX_TOKENS = 500;

type Value = Expression['value'];
type Parsed = Pick<Expression, 'value' | 'register' | 'place'>;

/** A register's number by its name, with or without % or $; undefined if there is none. 32-bit names are not registers of their own. */
export function registerNamed(name: string): number | undefined {
  const number = REGISTER_NAMES.indexOf(name.replace(/^[%$]/, '').toLowerCase());
  return number < 0 ? undefined : number;
}

/** The register that eax, ecx and so on are the lower half of. */
export function wholeRegister(name: string): number | undefined {
  const short = /^[%$]?e(ax|bx|cx|dx|si|di|bp|sp)$/i.exec(name);
  return short ? registerNamed(`r${short[1]}`) : undefined;
}

/** Reads an expression; an InputError that shows where it is wrong otherwise. */
export function parseExpression(text: string, image: Image): Expression {
  const tokens: { readonly text: string; readonly at: number }[] = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.trimEnd().length; ) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw wrong(text, at, 'is no number, name or operator');
    tokens.push({ text: match[1]!, at });
    if (tokens.length > MAX_TOKENS)
      throw new InputError(`the expression has more than ${MAX_TOKENS} parts; make it shorter`);
  }
  let next = 0;
  const peek = (): string | undefined => tokens[next]?.text;
  const fail = (message: string): InputError => wrong(text, tokens[next]?.at ?? text.length, message);
  const expect = (token: string): void => {
    if (peek() !== token) throw fail(`expected '${token}' here`);
    next++;
  };

  const binary = (rank: number): Parsed => {
    if (rank === C_OPERATORS.length) return unary();
    let left = binary(rank + 1);
    for (;;) {
      const operator = peek();
      if (operator === undefined || !C_OPERATORS[rank]!.includes(operator)) return left;
      next++;
      left = plain(calculate(operator, left.value, binary(rank + 1).value));
    }
  };
  const unary = (): Parsed => {
    const operator = peek();
    if (operator === '-' || operator === '~' || operator === '!' || operator === '*') {
      next++;
      const { value } = unary();
      if (operator === '*') return operand(value, 8);
      if (operator === '!') return plain((s) => (value(s) === 0n ? 1n : 0n));
      return plain((s) => BigInt.asUintN(64, operator === '-' ? -value(s) : ~value(s)));
    }
    return primary();
  };
  const primary = (): Parsed => {
    const token = peek();
    if (token === undefined) throw fail('expected a number, a name or a bracket at the end');
    if (token === '(') {
      next++;
      const inner = binary(0);
      expect(')');
      return inner;
    }
    const size = SIZES[token.toLowerCase()];
    if (token === '[' || (size !== undefined && tokens[next + 1]?.text === '[')) {
      next += token === '[' ? 1 : 2;
      const inner = binary(0);
      expect(']');
      return operand(inner.value, size ?? 8);
    }
    if (/^\d/.test(token)) {
      const value = BigInt(token);
      if (value >> 64n) throw fail('does not fit in 64 bits');
      next++;
      return plain(() => value);
    }
    if (!/^[%$A-Za-z_.]/.test(token)) throw fail('expected a number, a name or a bracket here');
    const named = name(token, image);
    if (named === undefined) {
      const known = [...REGISTER_NAMES, ...Object.keys(PSEUDO), ...FLAGS, ...image.labels];
      const near = nearNames(token, known, 4);
      throw fail(
        `there is no register, flag or symbol '${token}'${near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''}`,
      );
    }
    next++;
    return named;
  };

  const parsed = binary(0);
  if (next < tokens.length) throw fail('expected an operator or the end here');
  return { text: text.trim(), ...parsed };
}

function wrong(text: string, at: number, message: string): InputError {
  const rest = text.slice(at).trim();
  return new InputError(`'${text.trim()}': ${rest ? `'${rest.slice(0, 20)}': ` : ''}${message}`);
}

function plain(value: Value): Parsed {
  return { value, register: undefined, place: undefined };
}

function operand(address: Value, size: number): Parsed {
  return {
    value: (scene) => {
      const at = address(scene);
      const found = scene.memory(at, size);
      if (found === undefined) throw new InputError(`0x${at.toString(16)}: nothing is mapped there`);
      return found;
    },
    register: undefined,
    place: { address, size },
  };
}

function name(token: string, image: Image): Parsed | undefined {
  const register = registerNamed(token);
  if (register !== undefined) return { value: (scene) => scene.register(register), register, place: undefined };
  const whole = wholeRegister(token);
  if (whole !== undefined) return plain((scene) => scene.register(whole) & 0xffffffffn);
  if (FLAGS.has(token)) {
    const bit = BigInt(Flag[token as keyof typeof Flag]);
    return plain((scene) => (scene.register(Reg.RFLAGS) & bit ? 1n : 0n));
  }
  const pseudo = Object.hasOwn(PSEUDO, token) ? PSEUDO[token] : undefined;
  if (pseudo) return plain(pseudo);
  if (image.find(token) === undefined) return undefined;
  const address = memoryRange(image, token).start;
  return plain(() => address);
}

function calculate(operator: string, left: Value, right: Value): Value {
  // The right side is not looked at where C would not: rdi != 0 && [rdi] == 1.
  if (operator === '&&') return (s) => (left(s) !== 0n && right(s) !== 0n ? 1n : 0n);
  if (operator === '||') return (s) => (left(s) !== 0n || right(s) !== 0n ? 1n : 0n);
  return (s) => {
    const result = applyOperator(operator, left(s), right(s));
    if (result === undefined) throw new InputError('division by zero');
    return BigInt.asUintN(64, result);
  };
}
