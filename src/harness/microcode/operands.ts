/** Operands of instructions that the harness executes itself. */
import { type Instruction as IcedInstruction, MemorySizeExt, OpKind, Register, RegisterExt } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
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

/** The address of the memory operand; throws NotModelled for one that is computed with 32 bits. */
export function memoryAddress(machine: Machine, iced: IcedInstruction): bigint {
  const u64 = machine.cpu.regs.u64;
  let address = iced.isIpRelMemoryOperand ? iced.ipRelMemoryAddress : effectiveAddress(machine, iced);
  if (iced.memorySegment === Register.GS) address += u64[Reg.GS_BASE]!;
  if (iced.memorySegment === Register.FS) address += u64[Reg.FS_BASE]!;
  return BigInt.asUintN(64, address);
}

/** Base, index and displacement. */
function effectiveAddress(machine: Machine, iced: IcedInstruction): bigint {
  const u64 = machine.cpu.regs.u64;
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
  const scaled = index >= 0 ? u64[index]! * BigInt(iced.memoryIndexScale) : 0n;
  return iced.memoryDisplacement + (base >= 0 ? u64[base]! : 0n) + scaled;
}

/** Checks and notes an access by the current privilege level; false when it faults. */
export function reach(machine: Machine, address: bigint, size: number, access: number, stack: boolean): boolean {
  const cpu = machine.cpu;
  const a = BigInt.asUintN(64, address);
  if (!cpu.access(Number(a >> 32n), Number(a & 0xffffffffn), size, access, cpu.cpl === 3, stack)) return false;
  cpu.noteAccess(size, access);
  return true;
}

/** Checks and notes an access of `size` bytes to the memory operand; false when it faults. */
export function reachMemory(machine: Machine, instruction: Instruction, size: number, access: number): boolean {
  const { iced } = instruction;
  return reach(machine, memoryAddress(machine, iced), size, access, iced.memorySegment === Register.SS);
}

/** The value of operand `n`, or undefined when reading it faults. */
export function readOperand(machine: Machine, instruction: Instruction, n: number): bigint | undefined {
  const iced = instruction.iced;
  if (iced.opKind(n) === OpKind.Memory) {
    const size = MemorySizeExt.size(iced.memorySize);
    if (!reachMemory(machine, instruction, size, Access.READ)) return undefined;
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
    if (!reachMemory(machine, instruction, size, Access.WRITE)) return false;
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

/**
 * Reads `size` bytes (2, 4 or 8) at RSP + `offset` into readLow and readHigh, zero-extended; false when that faults.
 */
export function readStackAt(machine: Machine, offset: number, size: number): boolean {
  if (size === 8) return machine.readStack(offset);
  if (!reach(machine, machine.cpu.regs.u64[Reg.RSP]! + BigInt(offset), size, Access.READ, true)) return false;
  machine.readLow = Number(machine.cpu.loadChecked(size));
  machine.readHigh = 0;
  return true;
}

/**
 * Whether ring `cpl` may write `count` words of `size` bytes below `top`; raises what the first one that fails raises.
 */
export function pushable(machine: Machine, top: bigint, count: number, size: number, cpl: number): boolean {
  for (let n = 1; n <= count; n++) if (!reachWord(machine, top - BigInt(size * n), size, cpl)) return false;
  return true;
}

/** Writes words of `size` bytes below `top`, the first one uppermost, where `pushable` says so. Returns the new top. */
export function pushWords(machine: Machine, top: bigint, words: readonly bigint[], size: number, cpl: number): bigint {
  let at = top;
  for (const word of words) {
    at = BigInt.asUintN(64, at - BigInt(size));
    reachWord(machine, at, size, cpl);
    machine.cpu.noteAccess(size, Access.WRITE);
    machine.cpu.storeChecked(size, word);
  }
  return at;
}

function reachWord(machine: Machine, address: bigint, size: number, cpl: number): boolean {
  const a = BigInt.asUintN(64, address);
  // A push onto the stack of an inner ring is the processor's own, as those of an event are.
  const kind = cpl === machine.cpu.cpl ? Access.WRITE : Access.WRITE | Access.IMPLICIT;
  return machine.cpu.access(Number(a >> 32n), Number(a & 0xffffffffn), size, kind, cpl === 3, true);
}

const CR4_UMIP = 1 << 11;

/** User-mode instruction prevention: raises #GP(0) and returns true outside ring 0 where CR4.UMIP is set. */
export function userModePrevented(machine: Machine): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl === 0 || !(u32[2 * Reg.CR4]! & CR4_UMIP)) return false;
  cpu.raiseWith(Vector.GP, 0);
  return true;
}
