/**
 * BLSI, BLSR, BLSMSK, BZHI and BEXTR (SDM vol. 2): the engine sets CF of the first three from their result instead of their
 * source, lets BZHI clear the uppermost bit when the index is beyond it, and takes BEXTR's length for more than it is.
 */
import { Mnemonic, RegisterExt } from 'iced-x86';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { advance, readOperand, writeOperand } from './operands.js';

/** AF and PF are undefined; they stay as they are. */
const SET = Flag.CF | Flag.ZF | Flag.SF | Flag.OF;

export function lowestSetBit(machine: Machine, instruction: Instruction): boolean {
  const { mnemonic, iced } = instruction;
  const source = readOperand(machine, instruction, 1);
  if (source === undefined) return false;
  const bits = 8 * RegisterExt.size(iced.op0Register);
  const result = BigInt.asUintN(bits, combined(mnemonic, source));
  writeOperand(machine, instruction, 0, result);
  let flags = result >> BigInt(bits - 1) === 1n ? Flag.SF : 0;
  if (result === 0n) flags |= Flag.ZF;
  if ((source === 0n) !== (mnemonic === Mnemonic.Blsi)) flags |= Flag.CF;
  machine.u32[2 * Reg.RFLAGS] = ((machine.u32[2 * Reg.RFLAGS]! & ~SET) | flags) >>> 0;
  return advance(machine, instruction);
}

function combined(mnemonic: Mnemonic, source: bigint): bigint {
  if (mnemonic === Mnemonic.Blsi) return -source & source;
  return mnemonic === Mnemonic.Blsr ? (source - 1n) & source : (source - 1n) ^ source;
}

export function zeroHighBits(machine: Machine, instruction: Instruction): boolean {
  const source = readOperand(machine, instruction, 1);
  if (source === undefined) return false;
  const bits = 8 * RegisterExt.size(instruction.iced.op0Register);
  const index = Number(readOperand(machine, instruction, 2)! & 0xffn);
  const result = index < bits ? BigInt.asUintN(index, source) : source;
  writeOperand(machine, instruction, 0, result);
  let flags = result >> BigInt(bits - 1) === 1n ? Flag.SF : 0;
  if (result === 0n) flags |= Flag.ZF;
  if (index >= bits) flags |= Flag.CF;
  machine.u32[2 * Reg.RFLAGS] = ((machine.u32[2 * Reg.RFLAGS]! & ~SET) | flags) >>> 0;
  return advance(machine, instruction);
}

export function extractBits(machine: Machine, instruction: Instruction): boolean {
  const source = readOperand(machine, instruction, 1);
  if (source === undefined) return false;
  const control = readOperand(machine, instruction, 2)!;
  const result = BigInt.asUintN(Number((control >> 8n) & 0xffn), source >> (control & 0xffn));
  writeOperand(machine, instruction, 0, result);
  // SF, too, is undefined.
  const flags = result === 0n ? Flag.ZF : 0;
  machine.u32[2 * Reg.RFLAGS] = ((machine.u32[2 * Reg.RFLAGS]! & ~SET) | flags) >>> 0;
  return advance(machine, instruction);
}
