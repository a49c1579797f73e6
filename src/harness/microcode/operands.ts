/** Operands of instructions that the harness executes itself. */
import { type Instruction as IcedInstruction, MemorySizeExt, OpKind, Register, RegisterExt } from 'iced-x86';
import { Access, type Instruction, registerNumber } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';

/** Moves RIP past the instruction. */
export function advance(machine: Machine, instruction: Instruction): true {
  machine.cpu.regs.u64[Reg.RIP] = following(instruction);
  return true;
}

/** The address after the instruction. */
export function following(instruction: Instruction): bigint {
  return BigInt.asUintN(64, instruction.address + BigInt(instruction.length));
}

function memoryAddress(machine: Machine, iced: IcedInstruction): bigint {
  const u64 = machine.cpu.regs.u64;
  if (iced.isIpRelMemoryOperand) return iced.ipRelMemoryAddress;
  let address = iced.memoryDisplacement;
  if (
    [iced.memoryBase, iced.memoryIndex].some(
      (register) => register !== Register.None && RegisterExt.size(register) !== 8,
    )
  ) {
    throw new NotModelled(
      iced.ip,
      'uses a 32-bit address, which the machine does not model; keep it out of the code under test',
    );
  }
  const base = registerNumber(iced.memoryBase);
  const index = registerNumber(iced.memoryIndex);
  if (base >= 0) address += u64[base]!;
  if (index >= 0) address += u64[index]! * BigInt(iced.memoryIndexScale);
  if (iced.memorySegment === Register.GS) address += u64[Reg.GS_BASE]!;
  if (iced.memorySegment === Register.FS) address += u64[Reg.FS_BASE]!;
  return BigInt.asUintN(64, address);
}

/** Checks and notes an access by the current privilege level; false when it faults. */
export function reach(machine: Machine, address: bigint, size: number, access: number, stack: boolean): boolean {
  const cpu = machine.cpu;
  const a = BigInt.asUintN(64, address);
  if (!cpu.access(Number(a >> 32n), Number(a & 0xffffffffn), size, access, cpu.cpl === 3, stack)) return false;
  cpu.noteAccess(size, access);
  return true;
}

/** The value of operand `n`, or undefined when reading it faults. */
export function readOperand(machine: Machine, instruction: Instruction, n: number): bigint | undefined {
  const iced = instruction.iced;
  if (iced.opKind(n) === OpKind.Memory) {
    const size = MemorySizeExt.size(iced.memorySize);
    if (!reach(machine, memoryAddress(machine, iced), size, Access.READ, iced.memorySegment === Register.SS))
      return undefined;
    return machine.cpu.loadChecked(size);
  }
  const register = iced.opRegister(n);
  return BigInt.asUintN(8 * RegisterExt.size(register), machine.cpu.regs.u64[registerNumber(register)]!);
}

/** Writes operand `n`; false when that faults. A 32-bit register write clears the upper half. */
export function writeOperand(machine: Machine, instruction: Instruction, n: number, value: bigint): boolean {
  const iced = instruction.iced;
  if (iced.opKind(n) === OpKind.Memory) {
    const size = MemorySizeExt.size(iced.memorySize);
    if (!reach(machine, memoryAddress(machine, iced), size, Access.WRITE, iced.memorySegment === Register.SS))
      return false;
    machine.cpu.storeChecked(size, value);
    return true;
  }
  const register = iced.opRegister(n);
  const u64 = machine.cpu.regs.u64;
  const number = registerNumber(register);
  const bits = 8 * RegisterExt.size(register);
  u64[number] =
    bits >= 32
      ? BigInt.asUintN(bits, value)
      : ((u64[number]! >> BigInt(bits)) << BigInt(bits)) | BigInt.asUintN(bits, value);
  return true;
}

/** The 64-bit word at RSP; undefined when reading it faults. */
export function stackWord(machine: Machine): bigint | undefined {
  if (!machine.readStack(0)) return undefined;
  return (BigInt(machine.readHigh) << 32n) | BigInt(machine.readLow);
}
