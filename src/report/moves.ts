/** Instructions that leave a value as it is, and only put it elsewhere: along them a value is followed back. */
import { Mnemonic, OpKind } from 'iced-x86';
import { type Instruction, registerNumber } from '../cpu/decoder.js';

const MOVES: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Push,
  Mnemonic.Pop,
  Mnemonic.Movsb,
  Mnemonic.Movsw,
  Mnemonic.Movsd,
  Mnemonic.Movsq,
]);

/** The register whose value an instruction puts into memory as it is. */
export function storedRegister({ iced, mnemonic }: Instruction): number | undefined {
  if (mnemonic !== Mnemonic.Push && mnemonic !== Mnemonic.Mov && mnemonic !== Mnemonic.Xchg) return undefined;
  const operand = mnemonic === Mnemonic.Push ? 0 : 1;
  const number = iced.opKind(operand) === OpKind.Register ? registerNumber(iced.opRegister(operand)) : -1;
  return number < 0 ? undefined : number;
}

/** Whether an instruction puts what it reads from memory into memory again, as it is. */
export function movesMemory(instruction: Instruction): boolean {
  return MOVES.has(instruction.mnemonic) && storedRegister(instruction) === undefined;
}
