/** RDFSBASE, RDGSBASE, WRFSBASE and WRGSBASE (SDM vol. 2). */
import { Mnemonic, RegisterExt } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, readOperand, writeOperand } from './operands.js';

const CR4_FSGSBASE = 1 << 16;

export function segmentBase(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { mnemonic, iced } = instruction;
  if (!(u32[2 * Reg.CR4]! & CR4_FSGSBASE)) return cpu.raise(Vector.UD);
  const base = mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Wrfsbase ? Reg.FS_BASE : Reg.GS_BASE;
  if (mnemonic === Mnemonic.Rdfsbase || mnemonic === Mnemonic.Rdgsbase) {
    writeOperand(machine, instruction, 0, cpu.regs.u64[base]!);
    return advance(machine, instruction);
  }
  const value = readOperand(machine, instruction, 0)!;
  if (RegisterExt.size(iced.op0Register) === 8 && !cpu.isCanonical(Number(value >> 32n)))
    return cpu.raiseWith(Vector.GP, 0);
  cpu.regs.u64[base] = value;
  return advance(machine, instruction);
}
