/** Operands in AT&T syntax: registers, immediates, memory, and `*` for indirect jumps. */
import { type Expression, type Names, parseExpression } from './expression.js';
import type { Scanner } from './lexer.js';
import type { Place } from './source.js';

/** Width of a register in bits, and for the segment, control and debug registers their kind. */
export type RegisterClass = 8 | 16 | 32 | 64 | 'segment' | 'control' | 'debug' | 'ip' | 'other';

export interface RegisterOperand {
  readonly kind: 'register';
  /** Without `%`, lower case. */
  readonly name: string;
  readonly class: RegisterClass;
  readonly indirect: boolean;
  readonly place: Place;
}

export interface ImmediateOperand {
  readonly kind: 'immediate';
  readonly expression: Expression;
  readonly place: Place;
}

/** `segment:displacement(base,index,scale)`; without base and index also the target of a direct jump. */
export interface MemoryOperand {
  readonly kind: 'memory';
  readonly segment: string | undefined;
  readonly displacement: Expression | undefined;
  readonly base: RegisterOperand | undefined;
  readonly index: RegisterOperand | undefined;
  readonly scale: Expression | undefined;
  readonly indirect: boolean;
  /** `symbol@PLT`, `symbol@GOTPCREL` …: upper case. */
  readonly modifier: string | undefined;
  readonly place: Place;
}

export type Operand = RegisterOperand | ImmediateOperand | MemoryOperand;

const CLASSES = new Map<string, RegisterClass>();
for (const name of ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh', 'spl', 'bpl', 'sil', 'dil']) CLASSES.set(name, 8);
for (const name of ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']) {
  CLASSES.set(name, 16);
  CLASSES.set(`e${name}`, 32);
  CLASSES.set(`r${name}`, 64);
}
for (let i = 8; i < 16; i++) {
  CLASSES.set(`r${i}b`, 8);
  CLASSES.set(`r${i}w`, 16);
  CLASSES.set(`r${i}d`, 32);
  CLASSES.set(`r${i}`, 64);
}
for (const name of ['es', 'cs', 'ss', 'ds', 'fs', 'gs']) CLASSES.set(name, 'segment');
for (const name of ['rip', 'eip']) CLASSES.set(name, 'ip');
for (const name of ['riz', 'eiz', 'st']) CLASSES.set(name, 'other');
for (let i = 0; i < 16; i++) {
  CLASSES.set(`cr${i}`, 'control');
  CLASSES.set(`dr${i}`, 'debug');
  CLASSES.set(`db${i}`, 'debug');
  for (const vector of ['xmm', 'ymm']) CLASSES.set(`${vector}${i}`, 'other');
}
for (let i = 0; i < 8; i++) {
  CLASSES.set(`mm${i}`, 'other');
  CLASSES.set(`st(${i})`, 'other');
}

/** High byte registers exist only without a REX prefix. */
export function isHighByte(name: string): boolean {
  return name === 'ah' || name === 'bh' || name === 'ch' || name === 'dh';
}

export function registerClass(name: string): RegisterClass | undefined {
  return CLASSES.get(name);
}

/** Whether a register comes next: `%rax`, or a name that stands for one. */
function atRegister(scanner: Scanner, names: Names): boolean {
  if (scanner.peek() === '%') return true;
  const { at } = scanner;
  const name = scanner.name();
  scanner.at = at;
  return name !== undefined && names.register(name) !== undefined;
}

function parseRegister(scanner: Scanner, names: Names, indirect: boolean): RegisterOperand {
  scanner.skipSpace();
  const place = scanner.place();
  const at = scanner.at;
  const direct = scanner.take('%');
  const written = scanner.name();
  let name = direct || written === undefined ? written?.toLowerCase() : names.register(written);
  if (name === undefined) scanner.fail(`"%" without a register`, 'the name of a register', at);
  if (name === 'st' && scanner.take('(')) {
    const number = scanner.rest();
    name = `st(${number.replace(/\s|\)$/g, '')})`;
  }
  const kind = CLASSES.get(name);
  if (kind === undefined) scanner.fail(`unknown register "%${name}"`, 'a register of x86-64', at);
  // DB0 … DB7 are another spelling of DR0 … DR7.
  if (kind === 'debug') name = name.replace('db', 'dr');
  return { kind: 'register', name, class: kind, indirect, place };
}

/** The bracket that ends the operand and holds registers: offset of its `(`, or −1. */
function registerBracket(scanner: Scanner, names: Names): number {
  const { text } = scanner;
  let end = scanner.end;
  while (end > scanner.at && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--;
  if (text[end - 1] !== ')') return -1;
  let depth = 0;
  for (let at = end - 1; at >= scanner.at; at--) {
    if (text[at] === ')') depth++;
    else if (text[at] === '(' && --depth === 0) {
      const inside = scanner.part(at + 1, end - 1);
      return inside.peek() === ',' || atRegister(inside, names) ? at : -1;
    }
  }
  return -1;
}

export function parseOperand(scanner: Scanner, names: Names): Operand {
  scanner.skipSpace();
  const place = scanner.place();
  if (scanner.atEnd) scanner.fail('empty operand', 'a register, $immediate or memory operand');
  if (scanner.take('$')) {
    const expression = parseExpression(scanner, names);
    scanner.expectEnd('the immediate');
    return { kind: 'immediate', expression, place };
  }
  const indirect = scanner.take('*');
  let segment: string | undefined;
  if (atRegister(scanner, names)) {
    const register = parseRegister(scanner, names, indirect);
    if (!scanner.take(':')) {
      scanner.expectEnd(`%${register.name}`);
      return register;
    }
    if (register.class !== 'segment')
      scanner.fail(`%${register.name}: is no segment register`, '%es, %cs, %ss, %ds, %fs or %gs', place.offset);
    segment = register.name;
    // `%gs:*…` is an old spelling; the usual one is `*%gs:…`.
  }
  const bracket = registerBracket(scanner, names);
  let displacement: Expression | undefined;
  let modifier: string | undefined;
  const front = bracket < 0 ? scanner : scanner.part(scanner.at, bracket);
  if (!front.atEnd) {
    displacement = parseExpression(front, names);
    if (front.take('@')) {
      modifier = (front.name() ?? front.fail('"@" without a name', 'PLT')).toUpperCase();
      const sign = front.peek();
      if (sign === '+' || sign === '-') {
        const right = parseExpression(front, names);
        displacement = { kind: 'binary', operator: '+', left: displacement, right, place };
      }
    }
    front.expectEnd('the operand');
  }
  if (bracket < 0) {
    return {
      kind: 'memory',
      segment,
      displacement,
      base: undefined,
      index: undefined,
      scale: undefined,
      indirect,
      modifier,
      place,
    };
  }
  scanner.at = bracket + 1;
  let base: RegisterOperand | undefined;
  let index: RegisterOperand | undefined;
  let scale: Expression | undefined;
  if (atRegister(scanner, names)) base = parseRegister(scanner, names, false);
  if (scanner.take(',')) {
    if (atRegister(scanner, names)) {
      index = parseRegister(scanner, names, false);
      if (scanner.take(',') && scanner.peek() !== ')') scale = parseExpression(scanner, names);
    } else if (scanner.peek() !== ')') scale = parseExpression(scanner, names);
  }
  scanner.expect(')', 'the address');
  scanner.expectEnd('the operand');
  // `in (%dx),%al`
  if (base?.name === 'dx' && !index && !displacement && segment === undefined) return { ...base, place };
  for (const register of [base, index]) {
    if (
      register &&
      register.class !== 64 &&
      register.class !== 32 &&
      register.class !== 'ip' &&
      !/^[re]iz$/.test(register.name)
    )
      scanner.fail(
        `%${register.name} cannot be part of an address`,
        'a 64-bit or 32-bit register',
        register.place.offset,
      );
  }
  return { kind: 'memory', segment, displacement, base, index, scale, indirect, modifier, place };
}
