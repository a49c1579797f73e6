/**
 * What the manual leaves undefined after an instruction: such flags and registers are not compared, and programs that
 * look at them are not run. SDM vol. 2, "Flags Affected" of each instruction; the words are the manual's.
 */
import { type Instruction, MemorySizeExt, Mnemonic, OpKind, RegisterExt } from 'iced-x86';
import { Flag } from '../src/cpu/registers.js';

const { CF, PF, AF, ZF, SF, OF } = Flag;
const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

export interface UndefinedRule {
  readonly mnemonics: readonly Mnemonic[];
  /** The undefined flags; for shifts by a count other than 0 (masked to 5 or 6 bits) of an operand of `bits` bits. */
  readonly flags: number | ((count: number, bits: number) => number);
  /** Whether the first operand is undefined too; `source` is the value of the second. */
  readonly destination?: (count: number, bits: number, source: bigint) => boolean;
  readonly words: string;
}

export const UNDEFINED: readonly UndefinedRule[] = [
  {
    mnemonics: [Mnemonic.And, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Test],
    flags: AF,
    words: 'The state of the AF flag is undefined.',
  },
  {
    mnemonics: [Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr],
    flags: (count, bits) => AF | (count === 1 ? 0 : OF) | (count >= bits ? CF : 0),
    words:
      'CF is undefined for SHL and SHR where the count is greater than or equal to the size of the destination operand; OF is affected only for 1-bit shifts, otherwise it is undefined; for a non-zero count, the AF flag is undefined.',
  },
  {
    mnemonics: [Mnemonic.Sar],
    flags: (count) => AF | (count === 1 ? 0 : OF),
    words:
      'OF is affected only for 1-bit shifts, otherwise it is undefined; for a non-zero count, the AF flag is undefined.',
  },
  {
    mnemonics: [Mnemonic.Shld, Mnemonic.Shrd],
    flags: (count, bits) => (count > bits ? ARITHMETIC : AF | (count === 1 ? 0 : OF)),
    destination: (count, bits) => count > bits,
    words:
      'For shifts greater than 1 bit, the OF flag is undefined. The AF flag is undefined. If the count operand is greater than the operand size, the flags and the result are undefined.',
  },
  {
    mnemonics: [Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr],
    flags: (count) => (count === 1 ? 0 : OF),
    words: 'The OF flag is defined only for the 1-bit rotates; it is undefined in all other cases.',
  },
  {
    mnemonics: [Mnemonic.Mul, Mnemonic.Imul],
    flags: SF | ZF | AF | PF,
    words: 'The SF, ZF, AF, and PF flags are undefined.',
  },
  {
    mnemonics: [Mnemonic.Div, Mnemonic.Idiv],
    flags: ARITHMETIC,
    words: 'The CF, OF, SF, ZF, AF, and PF flags are undefined.',
  },
  {
    mnemonics: [Mnemonic.Bsf, Mnemonic.Bsr],
    flags: CF | OF | SF | AF | PF,
    destination: (_count, _bits, source) => source === 0n,
    words:
      'The CF, OF, SF, AF, and PF flags are undefined. If the content of the source operand is 0, the content of the destination operand is undefined.',
  },
  {
    mnemonics: [Mnemonic.Bt, Mnemonic.Bts, Mnemonic.Btr, Mnemonic.Btc],
    flags: OF | SF | AF | PF,
    words: 'The ZF flag is unaffected. The OF, SF, AF, and PF flags are undefined.',
  },
  {
    mnemonics: [Mnemonic.Lzcnt, Mnemonic.Tzcnt],
    flags: OF | SF | PF | AF,
    words: 'OF, SF, PF, and AF flags are undefined.',
  },
  {
    mnemonics: [Mnemonic.Andn, Mnemonic.Blsi, Mnemonic.Blsr, Mnemonic.Blsmsk, Mnemonic.Bzhi],
    flags: AF | PF,
    words: 'AF and PF flags are undefined.',
  },
  {
    mnemonics: [Mnemonic.Bswap],
    flags: 0,
    destination: (_count, bits) => bits === 16,
    words: 'When the BSWAP instruction references a 16-bit register, the result is undefined.',
  },
  { mnemonics: [Mnemonic.Bextr], flags: AF | SF | PF, words: 'AF, SF, and PF are undefined.' },
];

const BY_MNEMONIC: ReadonlyMap<Mnemonic, UndefinedRule> = new Map(
  UNDEFINED.flatMap((rule) => rule.mnemonics.map((mnemonic) => [mnemonic, rule] as const)),
);

export interface Effect {
  /** Flags that the instruction leaves as they were although it may change them otherwise. */
  readonly untouched: boolean;
  readonly flags: number;
  readonly destination: boolean;
}

const NOTHING: Effect = { untouched: false, flags: 0, destination: false };

const SHIFTS: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Shld, Mnemonic.Shrd],
  ...[Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr],
]);

/** What `instruction` leaves undefined, with CL and the value of its second operand as they were before. */
export function undefinedAfter(instruction: Instruction, cl: number, source: bigint): Effect {
  const rule = BY_MNEMONIC.get(instruction.mnemonic);
  if (!rule) return NOTHING;
  const bits = operandBits(instruction);
  let count = 0;
  if (SHIFTS.has(instruction.mnemonic)) {
    const last = instruction.opCount - 1;
    count = instruction.opKind(last) === OpKind.Register ? cl : Number(instruction.immediate(last) & 0xffn);
    count &= bits === 64 ? 63 : 31;
    if (count === 0) return { untouched: true, flags: 0, destination: false };
  }
  return {
    untouched: false,
    flags: typeof rule.flags === 'number' ? rule.flags : rule.flags(count, bits),
    destination: rule.destination?.(count, bits, source) ?? false,
  };
}

/** The size of the first operand. */
function operandBits(instruction: Instruction): number {
  const memory = instruction.op0Kind !== OpKind.Register;
  return 8 * (memory ? MemorySizeExt.size(instruction.memorySize) : RegisterExt.size(instruction.op0Register));
}
