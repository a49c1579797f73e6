/** Plain instructions: moves, arithmetic, shifts, bits, stack, strings, branches, with operands of all sizes. */
import { Code, CodeExt, EncodingKind, OpCodeOperandKind, Register } from 'iced-x86';
import type { Operand } from '../block.js';
import { UNMAPPED, USER_DATA } from '../layout.js';
import type { Family, Site } from './family.js';

/** Codes whose names begin with a mnemonic of the list and that exist in 64-bit mode. */
function codesOf(mnemonics: readonly string[]): Code[] {
  const wanted = new Set(mnemonics);
  const codes: Code[] = [];
  for (const [name, value] of Object.entries(Code)) {
    if (typeof value !== 'number' || !wanted.has(name.replace(/^VEX_/, '').split('_')[0]!)) continue;
    const opCode = CodeExt.opCode(value);
    const encodable =
      opCode.mode64 && (opCode.encoding === EncodingKind.Legacy || opCode.encoding === EncodingKind.VEX);
    const known = Array.from({ length: opCode.opCount }, (_, n) => opCode.opKind(n)).every((kind) => KINDS.has(kind));
    // A 32-bit address (prefix 67) is not modelled; moffs forms are no different from others.
    if (encodable && known) codes.push(value);
    opCode.free();
  }
  return codes;
}

type Make = (site: Site) => Operand;

const register =
  (size: number): Make =>
  (site) =>
    site.register(size);
const registerOrMemory =
  (size: number): Make =>
  (site) =>
    site.dice.below(2) === 0 ? site.register(size) : site.memoryOperand();
const immediate =
  (bits: number): Make =>
  (site) =>
    BigInt.asIntN(bits, site.dice.value());
const fixed =
  (operand: Operand): Make =>
  () =>
    operand;

const KINDS: ReadonlyMap<OpCodeOperandKind, Make> = new Map([
  [OpCodeOperandKind.mem, (site: Site) => site.memoryOperand()],
  [OpCodeOperandKind.r8_or_mem, registerOrMemory(1)],
  [OpCodeOperandKind.r16_or_mem, registerOrMemory(2)],
  [OpCodeOperandKind.r32_or_mem, registerOrMemory(4)],
  [OpCodeOperandKind.r64_or_mem, registerOrMemory(8)],
  [OpCodeOperandKind.r8_reg, register(1)],
  [OpCodeOperandKind.r8_opcode, register(1)],
  [OpCodeOperandKind.r16_reg, register(2)],
  [OpCodeOperandKind.r16_opcode, register(2)],
  [OpCodeOperandKind.r32_reg, register(4)],
  [OpCodeOperandKind.r32_opcode, register(4)],
  [OpCodeOperandKind.r32_vvvv, register(4)],
  [OpCodeOperandKind.r64_reg, register(8)],
  [OpCodeOperandKind.r64_opcode, register(8)],
  [OpCodeOperandKind.r64_vvvv, register(8)],
  [OpCodeOperandKind.al, fixed(Register.AL)],
  [OpCodeOperandKind.cl, fixed(Register.CL)],
  [OpCodeOperandKind.ax, fixed(Register.AX)],
  [OpCodeOperandKind.eax, fixed(Register.EAX)],
  [OpCodeOperandKind.rax, fixed(Register.RAX)],
  [OpCodeOperandKind.imm8, immediate(8)],
  [OpCodeOperandKind.imm8_const_1, fixed(1n)],
  [OpCodeOperandKind.imm8sex16, immediate(8)],
  [OpCodeOperandKind.imm8sex32, immediate(8)],
  [OpCodeOperandKind.imm8sex64, immediate(8)],
  [OpCodeOperandKind.imm16, immediate(16)],
  [OpCodeOperandKind.imm32, immediate(32)],
  [OpCodeOperandKind.imm32sex64, immediate(32)],
  [OpCodeOperandKind.imm64, immediate(64)],
]);

/** Emits an instruction of one of the codes, with operands of the kinds that it takes. */
function emitAny(site: Site, codes: readonly Code[]): void {
  const code = site.dice.pick(codes);
  const opCode = CodeExt.opCode(code);
  const operands = Array.from({ length: opCode.opCount }, (_, n) => KINDS.get(opCode.opKind(n))!(site));
  // Only one operand can be in memory, which the codes see to, but AH to BH exclude a REX prefix.
  site.block.emit(code, ...operands);
  opCode.free();
}

function family(name: string, weight: number, mnemonics: readonly string[], rules: readonly string[] = []): Family {
  const codes = codesOf(mnemonics);
  return { name, weight, rules, build: (site) => emitAny(site, codes) };
}

const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];

/** REP prefix (F3, F2) or none, operand size, then MOVS, CMPS, STOS, LODS, SCAS. */
function strings(site: Site): void {
  const { block, dice } = site;
  if (dice.below(2) === 1) block.emit(Code.Mov_r32_imm32, Register.ECX, BigInt(dice.below(5)));
  if (dice.once(4)) block.raw(dice.below(2) === 0 ? 0xfd : 0xfc);
  const repeat = dice.pick([[], [0xf3], [0xf2]]);
  const [size, step] = dice.pick([
    [[0x48], 1],
    [[], 1],
    [[0x66], 1],
    [[], 0],
  ] as const);
  const opcode = dice.pick([0xa4, 0xa6, 0xaa, 0xac, 0xae]);
  // The operand-size prefix stands before REX, which stands before the opcode.
  block.raw(...(size[0] === 0x66 ? size : []), ...repeat, ...(size[0] === 0x48 ? size : []), opcode + step);
}

function jumps(site: Site): void {
  const { block, dice } = site;
  switch (dice.below(4)) {
    case 0:
      block.skipNext(0x70 + dice.below(16));
      break;
    case 1:
      block.skipNext(dice.pick([0xeb, 0xe0, 0xe1, 0xe2, 0xe3]));
      break;
    case 2: {
      // CALL to what follows, or through a register to some place.
      if (dice.below(2) === 0) block.raw(0xe8, dice.below(3), 0, 0, 0);
      else block.emit(Code.Mov_r64_imm64, Register.R11, target(site)).emit(Code.Call_rm64, Register.R11);
      break;
    }
    default:
      // RET to what follows or to some place, with or without an immediate.
      returnTo(site);
  }
}

/** An address that a branch may name. */
export function target(site: Site): bigint {
  const { dice, places } = site;
  return dice.pick([
    places.kernel,
    places.user,
    places.handlers[0] ?? places.kernel,
    0x0000800000000000n,
    0xffff7fffffffffffn,
    0xffffc90000000000n,
    USER_DATA,
    UNMAPPED,
    dice.quad(),
  ]);
}

function returnTo(site: Site): void {
  const { block, dice } = site;
  const slot = site.slot(2);
  const pops = dice.below(3) === 2;
  const length = pops ? 3 : 1;
  block.emit(Code.Mov_r64_imm64, Register.RSP, slot);
  site.memory.set64(slot, dice.below(4) === 3 ? target(site) : block.here + BigInt(length));
  block.raw(...(pops ? [0xc2, dice.below(256), dice.below(2)] : [0xc3]));
}

export const PLAIN: readonly Family[] = [
  family('moves', 10, [
    'Mov',
    'Movzx',
    'Movsx',
    'Movsxd',
    'Lea',
    'Xchg',
    'Bswap',
    'Movnti',
    'Cbw',
    'Cwde',
    'Cdqe',
    'Cwd',
    'Cdq',
    'Cqo',
  ]),
  family('arithmetic', 12, ['Add', 'Adc', 'Sub', 'Sbb', 'Cmp', 'Inc', 'Dec', 'Neg', 'Not', 'And', 'Or', 'Xor', 'Test']),
  family('multiply and divide', 8, ['Mul', 'Imul', 'Div', 'Idiv'], ['B-4']),
  family('shifts', 8, ['Shl', 'Shr', 'Sar', 'Rol', 'Ror', 'Rcl', 'Rcr', 'Shld', 'Shrd']),
  family('bits', 6, [
    'Bt',
    'Bts',
    'Btr',
    'Btc',
    'Bsf',
    'Bsr',
    'Popcnt',
    'Lzcnt',
    'Tzcnt',
    'Andn',
    'Blsi',
    'Blsr',
    'Blsmsk',
    'Bextr',
    'Bzhi',
  ]),
  family('exchange', 4, ['Cmpxchg', 'Xadd', 'Cmpxchg8b', 'Cmpxchg16b']),
  family('conditions', 5, [...CONDITIONS.map((c) => `Cmov${c}`), ...CONDITIONS.map((c) => `Set${c}`)]),
  family('flags', 3, ['Clc', 'Stc', 'Cmc', 'Cld', 'Std', 'Lahf', 'Sahf']),
  family('stack', 10, ['Push', 'Pushq', 'Pop', 'Popq', 'Pushw', 'Popw', 'Leave', 'Leaveq', 'Leavew'], ['B-5']),
  {
    name: 'enter',
    weight: 1,
    rules: [],
    build: ({ block, dice }) => void block.raw(0xc8, dice.below(256), dice.below(2), dice.once(4) ? dice.below(4) : 0),
  },
  { name: 'strings', weight: 5, rules: [], build: strings },
  { name: 'branches', weight: 8, rules: [], build: jumps },
];
