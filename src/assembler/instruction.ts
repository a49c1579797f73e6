/**
 * One instruction: from mnemonic and operands to bytes and fixups.
 *
 * The encoder is given text in which GNU as' choices are already made: the operand size is a suffix, every number is
 * hexadecimal and reduced to the operand's width, an address without registers is spelled so that it stays absolute.
 * A value that is not known yet is given as a placeholder of the right width, and its field found in the bytes.
 */
import type { Encoder } from './encoder.js';
import { describeForms, type Form, formsOf } from './encodings.js';
import { constantOf, type Distance, type Expression, evaluate, reduce, wrap } from './expression.js';
import type { ImmediateOperand, MemoryOperand, Operand, RegisterOperand } from './operand.js';
import { isHighByte } from './operand.js';
import type { FieldKind, Fixup } from './section.js';
import { errorAt, type Place } from './source.js';

/** Size of an operand in bytes. */
type Size = 1 | 2 | 4 | 8;

const SUFFIX_SIZES: Readonly<Record<string, Size>> = { b: 1, w: 2, l: 4, q: 8 };
const SIZE_SUFFIXES: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' };

/** Distinct bytes that do not occur together in opcodes; one for each field, so that both can be found at once. */
const DISPLACEMENT_PLACEHOLDER = 0x5a3c7e19n;
const IMMEDIATE_PLACEHOLDERS: Readonly<Record<Size, bigint>> = {
  1: 0x5bn,
  2: 0x5b3dn,
  4: 0x4b2d6f1bn,
  8: 0x4b2d6f1b5c3e7d09n,
};
const ADDRESS_PLACEHOLDER = 0x4a2c6e185a3c7e19n;

/** Prefixes that may be written before an instruction or alone. */
const PREFIXES: Readonly<Record<string, number>> = {
  lock: 0xf0,
  rep: 0xf3,
  repe: 0xf3,
  repz: 0xf3,
  repne: 0xf2,
  repnz: 0xf2,
  bnd: 0xf2,
  xacquire: 0xf2,
  xrelease: 0xf3,
  notrack: 0x3e,
  cs: 0x2e,
  ds: 0x3e,
  es: 0x26,
  fs: 0x64,
  gs: 0x65,
  ss: 0x36,
  data16: 0x66,
  addr32: 0x67,
  rex: 0x40,
  'rex.w': 0x48,
  rex64: 0x48,
};

export function prefixByte(mnemonic: string): number | undefined {
  return Object.hasOwn(PREFIXES, mnemonic) ? PREFIXES[mnemonic] : undefined;
}

const CONDITIONS = 'o no b c nae ae nb nc e z ne nz be na a nbe s ns p pe np po l nge ge nl le ng g nle'.split(' ');
/** Jumps that are relaxed between rel8 and rel32. */
const RELAXED = new Set(['jmp', ...CONDITIONS.map((condition) => `j${condition}`)]);
/** Jumps that only have rel8. */
const SHORT_ONLY = new Set(['jrcxz', 'jecxz', 'loop', 'loope', 'loopz', 'loopne', 'loopnz']);

/** Instructions with a b/w/l/q suffix; the value is the size that GNU as takes if nothing tells one. */
const SIZED = new Map<string, Size>();
for (const name of 'mov add or adc sbb and sub xor cmp test xchg not neg mul imul div idiv inc dec lea shl shr sar rol ror rcl rcr shld shrd bt bts btr btc bsf bsr xadd cmpxchg in out lar lsl popcnt lzcnt tzcnt bswap movbe rdrand rdseed str sldt smsw lmsw lldt ltr verr verw movnti nop'.split(
  ' ',
))
  SIZED.set(name, 4);
for (const name of ['push', 'pop', 'call', 'jmp', 'ret', 'leave', 'enter', 'pushf', 'popf', 'vmread', 'vmwrite'])
  SIZED.set(name, 8);
for (const condition of CONDITIONS) SIZED.set(`cmov${condition}`, 4);
for (const name of ['lret', 'iret', 'sysret', 'sysexit', 'ljmp', 'lcall']) SIZED.set(name, 4);
for (const name of ['str', 'sldt', 'smsw', 'lmsw', 'lldt', 'ltr', 'verr', 'verw']) SIZED.set(name, 2);

/** Their immediate is a count or a number of 8 bits, whatever the operand size. */
const BYTE_IMMEDIATE = new Set('shl shr sar rol ror rcl rcr shld shrd bt bts btr btc in out int'.split(' '));
const WORD_IMMEDIATE = new Set(['ret', 'lret', 'enter']);

const ALIASES: Readonly<Record<string, string>> = {
  sal: 'shl',
  salb: 'shlb',
  salw: 'shlw',
  sall: 'shll',
  salq: 'shlq',
  icebp: 'int1',
  wait: 'fwait',
  xlat: 'xlatb',
  loopz: 'loope',
  loopnz: 'loopne',
  cbw: 'cbtw',
  cwde: 'cwtl',
  cdqe: 'cltq',
  cwd: 'cwtd',
  cdq: 'cltd',
  cqo: 'cqto',
  fxsave64: 'fxsaveq',
  fxrstor64: 'fxrstorq',
};

/** Not in 64-bit mode, though Keystone encodes them. */
const NOT_IN_64_BIT = new Set(
  'aaa aad aam aas daa das into bound pusha popa pushal popal pushaw popaw pusha popa lds les arpl salc pushfl popfl pushl popl jmpl calll'.split(
    ' ',
  ),
);

export interface EncodedBytes {
  readonly kind: 'bytes';
  readonly bytes: Uint8Array;
  /** Offsets count from the instruction's first byte. */
  readonly fixups: readonly Fixup[];
}

export interface EncodedBranch {
  readonly kind: 'branch';
  readonly short: Uint8Array;
  readonly near: Uint8Array;
  readonly target: Expression;
}

export interface InstructionText {
  readonly mnemonic: string;
  /** Prefix mnemonics that stand before it, as bytes. */
  readonly prefixes: readonly number[];
  readonly operands: readonly Operand[];
  readonly place: Place;
}

function hex(value: bigint): string {
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

const bitsOf = (size: Size) => BigInt(size * 8);

/** A constant as a signed number of `size` bytes; undefined if it does not fit, read signed or unsigned. */
function toSigned(value: bigint, size: Size): bigint | undefined {
  const bits = bitsOf(size);
  if (size < 8 && (value >= 1n << bits || value < -(1n << (bits - 1n)))) return undefined;
  return BigInt.asIntN(Number(bits), value);
}

/** Groups of legacy prefixes in the order in which GNU as writes them. */
function prefixGroup(byte: number): number {
  switch (byte) {
    case 0x9b:
      return 0;
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
      return 1;
    case 0x67:
      return 2;
    case 0x66:
      return 3;
    case 0xf2:
    case 0xf3:
      return 4;
    case 0xf0:
      return 5;
    default:
      return -1;
  }
}

function prefixCount(bytes: Uint8Array): number {
  let count = 0;
  while (count < bytes.length - 1 && prefixGroup(bytes[count]!) > 0) count++;
  return count;
}

/** Adds prefixes and puts all of them in GNU as' order. Undefined: two prefixes of one group. */
function withPrefixes(bytes: Uint8Array, added: readonly number[]): Uint8Array | undefined {
  const count = prefixCount(bytes);
  if (count + added.length === 0 || (added.length === 0 && count === 1)) return bytes;
  const legacy = [...added.filter((byte) => (byte & 0xf0) !== 0x40), ...bytes.subarray(0, count)];
  const groups = new Set(legacy.map(prefixGroup));
  if (groups.size < legacy.length) return undefined;
  const unique = legacy.sort((a, b) => prefixGroup(a) - prefixGroup(b));
  const rest = [...bytes.subarray(count)];
  for (const rex of added.filter((byte) => (byte & 0xf0) === 0x40)) {
    if ((rest[0]! & 0xf0) === 0x40) rest[0]! |= rex;
    else rest.unshift(rex);
  }
  return Uint8Array.from([...unique, ...rest]);
}

/** Registers that an implied address may be in, and the number of each in ModRM. */
const NUMBERS = new Map<string, number>();
for (const [i, name] of ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'].entries())
  for (const full of [name, `e${name}`, `r${name}`]) NUMBERS.set(full, i);
for (let i = 8; i < 16; i++) for (const suffix of ['', 'd', 'w']) NUMBERS.set(`r${i}${suffix}`, i);

/** Whether an operand is what a form of the table wants. */
function fitsForm(operand: Operand, wanted: string, all: readonly Operand[]): boolean {
  if (wanted === 'ib') return operand.kind === 'immediate';
  if (wanted === 'mem') return operand.kind === 'memory' && !operand.indirect;
  if (!isRegister(operand) || operand.indirect) return false;
  if (wanted.startsWith('%')) return wanted.split('|').includes(`%${operand.name}`);
  if (wanted === '[rax]') return operand.name === 'rax' || operand.name === 'eax';
  if (wanted === '[rm]') return operand.class === 64 || operand.class === 32;
  if (wanted === '[r]') {
    const memory = all.find((other) => other.kind === 'memory');
    const narrow = memory?.kind === 'memory' && (memory.base ?? memory.index)?.class === 32;
    return operand.class === (narrow ? 32 : 64);
  }
  return operand.class === Number(wanted.replace(/\D/g, ''));
}

/** Offset of a little-endian placeholder; −1 if it is not there, or there twice. */
function findField(bytes: Uint8Array, value: bigint, size: Size): number {
  let found = -1;
  for (let at = 1; at + size <= bytes.length; at++) {
    let same = true;
    for (let i = 0; i < size && same; i++) same = bytes[at + i] === Number((value >> BigInt(8 * i)) & 0xffn);
    if (!same) continue;
    if (found >= 0) return -1;
    found = at;
  }
  return found;
}

function isRegister(operand: Operand | undefined): operand is RegisterOperand {
  return operand?.kind === 'register';
}

function registerSize(operand: Operand | undefined): Size | undefined {
  return isRegister(operand) && typeof operand.class === 'number' ? ((operand.class / 8) as Size) : undefined;
}

/** Splits `movq` into `mov` and 8; the base must be one that takes suffixes. */
function splitSuffix(mnemonic: string): { base: string; size: Size | undefined } | undefined {
  if (SIZED.has(mnemonic)) return { base: mnemonic, size: undefined };
  const base = mnemonic.slice(0, -1);
  const size = SUFFIX_SIZES[mnemonic.at(-1)!];
  return size !== undefined && SIZED.has(base) ? { base, size } : undefined;
}

const STRING_OPERATION = /^(movs|cmps|stos|lods|scas|ins|outs)([bwlq]?)$/;

export class InstructionEncoder {
  constructor(private readonly encoder: Encoder) {}

  encode(instruction: InstructionText, distance: Distance): EncodedBytes | EncodedBranch {
    return new Encoding(this.encoder, instruction, distance).run();
  }
}

/** The encoding of one instruction. */
class Encoding {
  private mnemonic: string;
  private operands: Operand[];
  private readonly place: Place;
  private readonly prefixes: number[];
  private readonly fixups: Fixup[] = [];
  /** The mnemonic without its size suffix. */
  private base = '';
  /** Operand size, where the mnemonic has one. */
  private size: Size | undefined;
  /** Neither a suffix nor a register told the operand size. */
  private sizeAssumed = false;
  /** MOVABS: the immediate is 64 bits wide, or the address is (and nothing else is in the address). */
  private wideImmediate = false;
  private addressOnly = false;
  /** What stands in the displacement and in the immediate if they are not numbers yet. */
  private displacement: { expression: Expression; size: 4 | 8; kind: FieldKind; place: Place } | undefined;
  private immediate: { expression: Expression; size: Size; kind: FieldKind; place: Place } | undefined;

  constructor(
    private readonly encoder: Encoder,
    private readonly instruction: InstructionText,
    private readonly distance: Distance,
  ) {
    const written = instruction.mnemonic;
    this.mnemonic = Object.hasOwn(ALIASES, written) ? ALIASES[written]! : written;
    this.operands = [...instruction.operands];
    this.place = instruction.place;
    this.prefixes = [...instruction.prefixes];
  }

  private fail(what: string, expected?: string, place = this.place): never {
    throw errorAt(place, what, expected);
  }

  run(): EncodedBytes | EncodedBranch {
    if (NOT_IN_64_BIT.has(this.mnemonic))
      this.fail(`"${this.instruction.mnemonic}" does not exist in 64-bit mode`, 'a 64-bit instruction');
    if (this.operands.length > 4) this.fail('too many operands', 'at most 4');
    const wide = this.operands.find((operand) => operand.kind === 'memory' && operand.base?.class === 64);
    if (wide && this.prefixes.includes(PREFIXES.addr32!))
      this.fail('addr32 before an address in 64-bit registers', 'the 32-bit registers, without addr32', wide.place);
    const branch = this.branch();
    if (branch) return branch;
    this.stringOperation();
    this.extension();
    this.chooseSize();
    return this.finish();
  }

  /** Direct jumps and calls. */
  private branch(): EncodedBytes | EncodedBranch | undefined {
    const [target] = this.operands;
    if (this.operands.length !== 1 || target?.kind !== 'memory' || target.indirect) return undefined;
    let name = this.mnemonic;
    if (name === 'jmpq' || name === 'callq') name = name.slice(0, -1);
    // Branch hints (`jne,pn`) are prefixes without meaning for today's processors.
    const relaxed = RELAXED.has(name);
    if (!relaxed && !SHORT_ONLY.has(name) && name !== 'call' && name !== 'xbegin') return undefined;
    if (target.base || target.index || target.segment !== undefined)
      this.fail(`${name} through memory needs "*"`, `${name} *${'…'}`, target.place);
    const expression = target.displacement!;
    this.checkModifier(target, true);
    if (relaxed) {
      const short = this.prefixed(this.ask(`${name} 0x10`));
      const near = this.prefixed(this.ask(`${name} 0x12345678`));
      short.fill(0, short.length - 1);
      near.fill(0, near.length - 4);
      return { kind: 'branch', short, near, target: expression };
    }
    const size = SHORT_ONLY.has(name) ? 1 : 4;
    const bytes = this.prefixed(
      name === 'xbegin'
        ? Uint8Array.of(0xc7, 0xf8, 0, 0, 0, 0)
        : this.ask(`${name} ${size === 1 ? '0x10' : '0x12345678'}`),
    );
    bytes.fill(0, bytes.length - size);
    const kind = size === 4 ? 'plt' : 'pc';
    const fixup: Fixup = {
      offset: bytes.length - size,
      size,
      kind,
      expression,
      adjust: BigInt(-size),
      place: target.place,
    };
    return { kind: 'bytes', bytes, fixups: [fixup] };
  }

  private checkModifier(operand: MemoryOperand, branch: boolean): void {
    if (operand.modifier === undefined || (operand.modifier === 'PLT' && branch)) return;
    this.fail(`@${operand.modifier} is not supported`, branch ? '@PLT' : 'a plain symbol', operand.place);
  }

  /** `movsq (%rsi),%es:(%rdi)` and its kin: the operands are implied, only a segment of the source counts. */
  private stringOperation(): void {
    const match = STRING_OPERATION.exec(this.mnemonic);
    if (!match) return;
    if (this.operands.length === 0) {
      if (match[2] === '') this.mnemonic += 'l';
      return;
    }
    const memory = this.operands.filter((operand) => operand.kind === 'memory');
    if (!memory.every((operand) => operand.base && /^r?[sd]i$|^e[sd]i$/.test(operand.base.name) && !operand.index))
      return;
    if (memory.length === 0 || this.operands.some((operand) => operand.kind === 'immediate')) return;
    for (const operand of memory) {
      if (operand.base!.class === 32) this.prefixes.push(0x67);
      if (operand.base!.name.endsWith('si') && operand.segment !== undefined && operand.segment !== 'ds')
        this.prefixes.push(PREFIXES[operand.segment]!);
    }
    if (match[2] === '') {
      const size = this.operands
        .map((operand) => (isRegister(operand) && operand.name !== 'dx' ? registerSize(operand) : undefined))
        .find((size) => size !== undefined);
      if (size === undefined) this.fail(`${this.mnemonic} without an operand size`, `${this.mnemonic}b, w, l or q`);
      this.mnemonic += SIZE_SUFFIXES[size]!;
    }
    this.operands = [];
  }

  /** `movzx`, `movsx`, and MOVZ/MOVS without the second suffix, as `movzbl` and the like. */
  private extension(): void {
    if (this.operands.length !== 2) return;
    const [from, to] = this.operands;
    const target = registerSize(to);
    if (target === undefined) return;
    if (this.mnemonic === 'movsxd') {
      this.mnemonic = `movsl${SIZE_SUFFIXES[target]}`;
      return;
    }
    const match = /^mov(z|s)(x?)([bwl]?)([wlq]?)$/.exec(this.mnemonic);
    if (!match || (match[4] !== '' && match[3] !== '')) return;
    const source = match[3] !== '' ? SUFFIX_SIZES[match[3]!] : registerSize(from);
    // `movzx (%rax),%ebx` does not say its source's size: GNU as takes a byte.
    const size = source ?? (match[2] === 'x' || match[1] === 'z' ? 1 : undefined);
    if (size === undefined) return;
    if (size >= target)
      this.fail(`${this.instruction.mnemonic} to a register that is not wider than its source`, 'a wider register');
    this.mnemonic = `mov${match[1]}${SIZE_SUFFIXES[size]}${SIZE_SUFFIXES[target]}`;
    if (this.mnemonic === 'movzlq') this.fail('there is no MOVZX from 32 bits', 'movl, which clears the upper half');
  }

  /** Spells the operand size out. */
  private chooseSize(): void {
    const split = splitSuffix(this.mnemonic);
    this.base = split?.base ?? this.mnemonic;
    if (!split) {
      this.size = undefined;
      return;
    }
    const { base } = split;
    const special = this.operands.find((operand) => isRegister(operand) && typeof operand.class !== 'number');
    if (base === 'mov' && isRegister(special)) {
      this.specialMove(special, split.size);
      return;
    }
    if ((base === 'push' || base === 'pop') && isRegister(special)) {
      if (['cs', 'ds', 'es', 'ss'].includes(special.name))
        this.fail(`"${this.instruction.mnemonic} %${special.name}" does not exist in 64-bit mode`, '%fs or %gs');
      this.size = split.size ?? 8;
      this.mnemonic = `${base}${SIZE_SUFFIXES[this.size]}`;
      return;
    }
    // The register that tells the size is the last one; %cl as a count, and %dx as a port, do not.
    const telling = [...this.operands];
    if (base === 'in' || base === 'out') {
      const port = telling.findIndex((operand) => isRegister(operand) && operand.name === 'dx');
      if (port >= 0 && telling.length === 2) telling.splice(port, 1);
    } else if (
      BYTE_IMMEDIATE.has(base) &&
      telling.length > 1 &&
      isRegister(telling[0]) &&
      /^sh|^ro|^rc|^sar/.test(base)
    )
      telling.shift();
    const register = telling
      .map(registerSize)
      .filter((size) => size !== undefined)
      .at(-1);
    const told = split.size ?? register;
    if (
      split.size !== undefined &&
      register !== undefined &&
      split.size !== register &&
      base !== 'movnti' &&
      base !== 'lar' &&
      base !== 'lsl'
    )
      this.fail(`operand size of ${this.mnemonic} and its register differ`, `a ${split.size * 8}-bit register`);
    if ((base === 'lar' || base === 'lsl') && isRegister(this.operands[0]) && this.operands[0].class === 16) {
      // Only 16 bits of the selector's register count; GNU as gives it no prefix of its own.
      const [source] = this.operands;
      const name = to32(source.name);
      const wide = base === 'lsl' && register === 8;
      if (register !== 2)
        this.operands[0] = wide
          ? { ...source, name: name.replace(/^e/, 'r').replace(/d$/, ''), class: 64 }
          : { ...source, name, class: 32 };
    }
    const selector = base === 'lldt' || base === 'ltr' || base === 'verr' || base === 'verw' || base === 'lmsw';
    const size = selector ? 2 : (told ?? SIZED.get(base)!);
    this.size = size;
    this.sizeAssumed = told === undefined;
    if ((base === 'push' || base === 'pop') && size === 4)
      this.fail(`${base} of 32 bits does not exist in 64-bit mode`, '64 or 16 bits');
    if (base === 'vmread' || base === 'vmwrite') {
      this.mnemonic = `${base}q`;
      return;
    }
    if (['call', 'jmp'].includes(base) && size === 4)
      this.fail(`${base} to a 32-bit register or operand`, 'a 64-bit one');
    if (base === 'nop' && this.operands.length === 0) {
      this.mnemonic = 'nop';
      return;
    }
    if (base === 'enter' || base === 'verr' || base === 'verw') {
      this.mnemonic = base;
      return;
    }
    if (selector || base === 'rdrand' || base === 'rdseed') {
      this.mnemonic = isRegister(this.operands[0]) ? base : `${base}${selector ? 'w' : SIZE_SUFFIXES[size]}`;
      return;
    }
    if (base === 'str' || base === 'sldt' || base === 'smsw') {
      const [target] = this.operands;
      if (base !== 'smsw' && isRegister(target) && target.class === 64) {
        this.operands = [{ ...target, name: to32(target.name), class: 32 }];
        this.mnemonic = `${base}l`;
        return;
      }
      this.mnemonic = isRegister(this.operands[0]) ? `${base}${SIZE_SUFFIXES[size]}` : `${base}w`;
      return;
    }
    this.mnemonic = `${base}${SIZE_SUFFIXES[size]}`;
  }

  /** MOV to and from segment, control and debug registers (and the vector registers, which MOVQ shares its name with). */
  private specialMove(special: RegisterOperand, size: Size | undefined): void {
    const other = this.operands[0] === special ? this.operands[1] : this.operands[0];
    if (special.class === 'segment') {
      const toSegment = this.operands[1] === special;
      const width = registerSize(other);
      if (special.name === 'cs' && toSegment) this.fail('%cs cannot be loaded with mov', '%ds, %es, %ss, %fs or %gs');
      if (size !== undefined && size !== (width ?? 2))
        this.fail(`operand size of ${this.instruction.mnemonic} and its other operand differ`, 'mov without a suffix');
      if (width === 1) this.fail('a segment register has no 8-bit half', 'a 16-, 32- or 64-bit register');
      if (other?.kind === 'memory') {
        // A selector in memory is 16 bits: no operand-size prefix.
        this.mnemonic = toSegment ? 'movw' : 'movl';
      } else this.mnemonic = !toSegment && width === 2 ? 'movw' : 'movl';
      // The upper bits are ignored or cleared anyway: neither an operand-size prefix nor REX.W.
      if (isRegister(other) && (toSegment || width === 8))
        this.operands[this.operands.indexOf(other)] = { ...other, name: to32(other.name), class: 32 };
      this.size = 2;
      return;
    }
    this.mnemonic = size === undefined ? 'movq' : `mov${SIZE_SUFFIXES[size]}`;
    this.size = 8;
  }

  /** %ah and its kin cannot be named in an instruction with a REX prefix; Keystone stops working when they are. */
  private highBytes(): void {
    const high = this.operands.find((operand) => isRegister(operand) && isHighByte(operand.name));
    if (!high) return;
    const needsRex = (operand: Operand | undefined): boolean =>
      operand?.kind === 'memory'
        ? needsRex(operand.base) || needsRex(operand.index)
        : isRegister(operand) && /^r(?:[89]|1\d)|^(?:sp|bp|si|di)l$/.test(operand.name);
    const wide = this.operands.some((operand) => isRegister(operand) && operand.class === 64);
    if (wide || this.operands.some(needsRex))
      this.fail(
        `%${(high as RegisterOperand).name} cannot be used in an instruction with a REX prefix`,
        'a low byte register',
        high.place,
      );
  }

  private finish(): EncodedBytes {
    const { base } = this;
    this.highBytes();
    if (base === 'mov' || this.mnemonic.startsWith('movabs')) this.moveForms();
    if (base === 'xchg' || base === 'test') this.registerFirst();
    const [vector, other] = this.operands;
    if (base === 'xchg' && isRegister(vector) && vector.name === 'rax' && isRegister(other) && other.name === 'rax') {
      this.mnemonic = 'nop';
      this.operands = [];
    }
    if (base === 'int' && vector?.kind === 'immediate' && this.constant(vector.expression) === 3n) {
      this.mnemonic = 'int3';
      this.operands = [];
    }
    const forms = this.operands.length > 0 || base !== 'nop' ? formsOf(this.mnemonic) : undefined;
    if (forms) {
      const form = forms.find(
        ({ operands }) =>
          operands.length === this.operands.length &&
          operands.every((wanted, i) => fitsForm(this.operands[i]!, wanted, this.operands)),
      );
      if (!form) this.fail(`operands do not fit "${this.instruction.mnemonic}"`, describeForms(forms));
      if (this.prefixes.some((byte) => prefixGroup(byte) >= 4))
        this.fail(`"${this.instruction.mnemonic}" takes no lock or rep`, 'the instruction without it');
      return this.done(this.tabled(form));
    }
    const rendered = this.operands.map((operand) => this.render(operand));
    if (base === 'imul' && rendered.length === 2 && this.operands[0]!.kind === 'immediate') rendered.push(rendered[1]!);
    return this.done(this.ask(`${this.mnemonic} ${rendered.join(',')}`));
  }

  /** An instruction of the table; Keystone encodes the address, as that of INVLPG (0f 01 /7). */
  private tabled(form: Form): Uint8Array {
    const prefixes = [...form.prefixes];
    let rex = form.wide ? 8 : 0;
    let field = typeof form.modrm === 'number' ? form.modrm : 0;
    let address: number[] = [];
    const immediate: number[] = [];
    for (const [i, wanted] of form.operands.entries()) {
      const operand = this.operands[i]!;
      if (operand.kind === 'memory') {
        const bytes = this.ask(`invlpg ${this.renderMemory(operand)}`);
        const count = prefixCount(bytes);
        const rexed = (bytes[count]! & 0xf0) === 0x40;
        prefixes.push(...bytes.subarray(0, count));
        if (rexed) rex |= bytes[count]! & 7;
        address = [...bytes.subarray(count + (rexed ? 3 : 2))];
      } else if (operand.kind === 'immediate') {
        const value = this.constant(operand.expression);
        if (value === undefined || toSigned(value, 1) === undefined)
          this.fail('the immediate is no number of 8 bits', '0 to 0xff', operand.place);
        immediate.push(Number(BigInt.asUintN(8, value)));
      } else {
        if (wanted.startsWith('[') && operand.class === 32 && wanted !== '[r]') prefixes.push(0x67);
        const number = NUMBERS.get(operand.name) ?? 0;
        if (wanted.includes('rm')) {
          rex |= number >> 3;
          address = [0xc0 | (number & 7)];
        } else if (/^r\d|^\[r\]/.test(wanted)) {
          rex |= (number >> 3) << 2;
          field = number & 7;
        }
      }
    }
    if (address.length > 0) address[0] = (address[0]! & 0xc7) | (field << 3);
    const bytes = [...(rex === 0 ? [] : [0x40 | rex]), ...form.opcode, ...address, ...immediate];
    return this.checkedPrefixes(Uint8Array.from(bytes), prefixes);
  }

  /** `mov $imm,%r64` as MOVQ with 32 bits or MOVABS with 64; MOVABS with an address. */
  private moveForms(): void {
    const [from, to] = this.operands;
    const explicit = this.mnemonic.startsWith('movabs');
    if (from?.kind === 'immediate' && isRegister(to) && (to.class === 64 || explicit)) {
      if (to.class !== 64 && explicit) {
        this.size = registerSize(to);
        this.mnemonic = `mov${SIZE_SUFFIXES[this.size ?? 8]}`;
        return;
      }
      const value = this.constant(from.expression);
      const wide = explicit || (value !== undefined && BigInt.asIntN(32, value) !== value);
      this.mnemonic = wide ? 'movabsq' : 'movq';
      this.size = 8;
      this.wideImmediate = wide;
      return;
    }
    const memory = from?.kind === 'memory' ? from : to?.kind === 'memory' ? to : undefined;
    const register = from === memory ? to : from;
    if (!memory || memory.base || memory.index || !isRegister(register)) return;
    const accumulator = ['al', 'ax', 'eax', 'rax'].includes(register.name);
    const value = memory.displacement ? this.constant(memory.displacement) : 0n;
    const far = value !== undefined && BigInt.asIntN(32, value) !== value;
    if (!explicit && !(far && accumulator)) return;
    if (!accumulator)
      this.fail(`movabs with an address needs the accumulator`, '%al, %ax, %eax or %rax', register.place);
    this.size = registerSize(register);
    this.mnemonic = `movabs${SIZE_SUFFIXES[this.size!]}`;
    this.addressOnly = true;
  }

  /** XCHG and TEST are the same both ways round; GNU as and Keystone want the register first or last. */
  private registerFirst(): void {
    const [from, to] = this.operands;
    if (this.operands.length === 2 && from?.kind === 'memory' && isRegister(to)) this.operands = [to, from];
  }

  private constant(expression: Expression): bigint | undefined {
    const value = evaluate(expression, this.distance);
    return value && constantOf(reduce(value, this.distance));
  }

  private render(operand: Operand): string {
    switch (operand.kind) {
      case 'register':
        return `${operand.indirect ? '*' : ''}%${operand.name}`;
      case 'immediate':
        return this.renderImmediate(operand);
      case 'memory':
        return this.renderMemory(operand);
    }
  }

  private immediateSize(operand: ImmediateOperand): Size {
    const { base, size } = this;
    if (base === 'enter') return operand === this.operands[0] ? 2 : 1;
    if (BYTE_IMMEDIATE.has(base)) return 1;
    if (WORD_IMMEDIATE.has(base)) return 2;
    if (size === undefined) return 1;
    return size;
  }

  private renderImmediate(operand: ImmediateOperand): string {
    const size = this.immediateSize(operand);
    const value = this.constant(operand.expression);
    if (value !== undefined) {
      const signed = toSigned(value, size);
      if (signed === undefined)
        this.fail(
          `immediate ${hex(value)} does not fit in ${size * 8} bits`,
          `${hex(-(1n << (bitsOf(size) - 1n)))} to ${hex((1n << bitsOf(size)) - 1n)}`,
          operand.place,
        );
      if (size === 8 && !this.wideImmediate && BigInt.asIntN(32, signed) !== signed)
        this.fail(
          `immediate ${hex(value)} does not fit in 32 bits with a sign`,
          'a register (movabs loads 64 bits)',
          operand.place,
        );
      // Keystone takes bit numbers of at most 127; and it would shorten an unsigned -1 whose size nothing tells.
      const bitNumber = /^bt[src]?$/.test(this.base) && (signed < 0n || signed > 127n);
      const plain = !BYTE_IMMEDIATE.has(this.base) && !WORD_IMMEDIATE.has(this.base);
      const unsized = this.sizeAssumed && plain && signed !== value && value > 0n && signed >= -128n;
      if (bitNumber || unsized) return this.openImmediate(operand, size, { kind: 'number', value });
      // Counts, ports and vectors are read without a sign.
      const unsigned =
        (BYTE_IMMEDIATE.has(this.base) || WORD_IMMEDIATE.has(this.base) || this.size === undefined) && signed < 0n;
      return `$${hex(unsigned ? BigInt.asUintN(size * 8, signed) : signed)}`;
    }
    return this.openImmediate(operand, size, operand.expression);
  }

  /** A placeholder, and the note that its field gets the expression's value. */
  private openImmediate(operand: ImmediateOperand, size: Size, expression: Expression): string {
    const field: Size = size === 8 && !this.wideImmediate ? 4 : size;
    if (this.immediate) this.fail('two immediates that are not numbers', 'numbers', operand.place);
    this.immediate = {
      expression,
      size: field,
      kind: size === 8 && field === 4 ? 'abs32s' : 'abs',
      place: operand.place,
    };
    return `$${hex(IMMEDIATE_PLACEHOLDERS[field])}`;
  }

  private renderMemory(operand: MemoryOperand): string {
    this.checkModifier(operand, false);
    const star = operand.indirect ? '*' : '';
    const segment = this.segmentText(operand);
    const constant = operand.displacement ? this.constant(operand.displacement) : 0n;
    if (this.addressOnly) {
      if (constant === undefined) {
        this.displacement = { expression: operand.displacement!, size: 8, kind: 'abs', place: operand.place };
        return `${segment}${hex(ADDRESS_PLACEHOLDER)}`;
      }
      // Small addresses would be given a shorter form: encode a large one, and patch it.
      this.displacement = {
        expression: { kind: 'number', value: constant },
        size: 8,
        kind: 'abs',
        place: operand.place,
      };
      return `${segment}${hex(ADDRESS_PLACEHOLDER)}`;
    }
    if (operand.index && /^[re]?sp$/.test(operand.index.name))
      this.fail(`%${operand.index.name} cannot be an index`, 'another register', operand.index.place);
    if (operand.base && operand.index && operand.base.class !== operand.index.class)
      this.fail('base and index differ in size', 'two 64-bit or two 32-bit registers', operand.place);
    const relative = operand.base?.class === 'ip';
    const narrow = operand.base?.class === 32 || operand.index?.class === 32;
    let shown: bigint;
    if (constant === undefined) {
      this.displacement = {
        expression: operand.displacement!,
        size: 4,
        kind: relative ? 'pc' : narrow ? 'abs' : 'abs32s',
        place: operand.place,
      };
      shown = DISPLACEMENT_PLACEHOLDER;
    } else {
      shown = BigInt.asIntN(64, constant);
      // Addresses of 32 bits wrap.
      if (narrow) shown = BigInt.asIntN(32, shown);
      if (BigInt.asIntN(32, shown) !== shown)
        this.fail(
          `displacement ${hex(constant)} does not fit in 32 bits with a sign`,
          '-0x80000000 to 0x7fffffff',
          operand.place,
        );
    }
    let scale = 1n;
    if (operand.scale) {
      const value = this.constant(operand.scale);
      if (value === undefined || ![1n, 2n, 4n, 8n].includes(value))
        this.fail('bad scale', '1, 2, 4 or 8', operand.place);
      scale = value;
    }
    const base = operand.base ? `%${operand.base.name}` : '';
    // Without registers Keystone would make the address relative to RIP; the pseudo index %riz keeps it absolute.
    const index = operand.index ? `,%${operand.index.name},${hex(scale)}` : operand.base ? '' : ',%riz,0x1';
    return `${star}${segment}${shown === 0n && operand.base ? '' : hex(shown)}(${base}${index})`;
  }

  private segmentText(operand: MemoryOperand): string {
    if (operand.segment === undefined) return '';
    const stack = operand.base && ['rsp', 'rbp', 'esp', 'ebp'].includes(operand.base.name);
    // A segment that is the default one anyway needs no prefix.
    if (operand.segment === (stack ? 'ss' : 'ds')) return '';
    // Keystone always leaves this one out.
    if (operand.segment === 'ds') {
      this.prefixes.push(PREFIXES.ds!);
      return '';
    }
    return `%${operand.segment}:`;
  }

  /** A copy with the prefixes. */
  private prefixed(encoded: Uint8Array): Uint8Array {
    return this.checkedPrefixes(encoded, this.prefixes);
  }

  private checkedPrefixes(encoded: Uint8Array, prefixes: readonly number[]): Uint8Array {
    const bytes = withPrefixes(encoded, prefixes);
    if (!bytes)
      this.fail(
        `two prefixes of the same kind for "${this.instruction.mnemonic}"`,
        'one segment, one size and one repeat prefix',
      );
    return Uint8Array.from(bytes);
  }

  private ask(text: string): Uint8Array {
    const bytes = this.encoder.encode(text);
    if (typeof bytes !== 'string') return bytes;
    const written = this.instruction.mnemonic;
    if (bytes === 'crash') this.fail(`"${written}" cannot be encoded: the encoder stopped working on it`);
    if (bytes === 'restarting') this.fail('the encoder is still starting again', 'another try a moment later');
    if (bytes === 'mnemonic') this.fail(`unknown instruction "${written}"`, 'an instruction, a directive or a macro');
    return this.fail(`operands do not fit "${written}"`, 'operands that the instruction can take');
  }

  /** Adds prefixes, finds the open fields. */
  private done(encoded: Uint8Array): EncodedBytes {
    const bytes = this.prefixed(encoded);
    if (bytes.length > 15) this.fail('instruction longer than 15 bytes', 'fewer prefixes');
    if (this.immediate) {
      const { size, expression, kind, place } = this.immediate;
      const offset = bytes.length - size;
      const value = IMMEDIATE_PLACEHOLDERS[size];
      for (let i = 0; i < size; i++) {
        if (bytes[offset + i] !== Number((value >> BigInt(8 * i)) & 0xffn))
          this.fail(`"${this.instruction.mnemonic}" cannot take a symbol as immediate`, 'a number', place);
        bytes[offset + i] = 0;
      }
      this.fixups.push({ offset, size, kind, expression, adjust: 0n, place });
    }
    if (this.displacement) {
      const { size, expression, kind, place } = this.displacement;
      const placeholder = size === 8 ? ADDRESS_PLACEHOLDER : DISPLACEMENT_PLACEHOLDER;
      const offset = findField(bytes, placeholder, size);
      if (offset < 0) this.fail(`"${this.instruction.mnemonic}" cannot take a symbol as address`, 'a number', place);
      bytes.fill(0, offset, offset + size);
      const adjust = kind === 'pc' ? wrap(BigInt(offset - bytes.length)) : 0n;
      this.fixups.push({ offset, size, kind, expression, adjust, place });
    }
    return { kind: 'bytes', bytes, fixups: this.fixups };
  }
}

/** The 32-bit register of the same number. */
function to32(name: string): string {
  if (isHighByte(name)) return name;
  const numbered = /^(r\d+)[bwd]?$/.exec(name);
  if (numbered) return `${numbered[1]}d`;
  if (name.startsWith('e')) return name;
  return `e${name.replace(/^r/, '')}`;
}
