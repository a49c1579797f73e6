/**
 * IN, OUT, INS and OUTS (SDM vol. 2; vol. 1, 19.5). No device is behind any port: reads give all ones, as an empty bus
 * does, and writes vanish. What is modelled is who may use a port (IOPL, the bitmap of the TSS), the memory that the
 * string forms touch, and I/O breakpoints.
 */
import { Code, Mnemonic, OpKind, Register } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { Access, type Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { watchPort } from '../debug.js';
import { Tss } from '../descriptors.js';
import type { Machine } from '../machine.js';
import { ioPrivilege } from './flags.js';
import { advance, reach } from './operands.js';

/** Bytes that an access moves, where it is not one. */
const SIZES: ReadonlyMap<Code, number> = new Map([
  ...[Code.In_AX_imm8, Code.In_AX_DX, Code.Out_imm8_AX, Code.Out_DX_AX].map((code) => [code, 2] as const),
  ...[Code.In_EAX_imm8, Code.In_EAX_DX, Code.Out_imm8_EAX, Code.Out_DX_EAX].map((code) => [code, 4] as const),
  ...[Code.Insw_m16_DX, Code.Outsw_DX_m16].map((code) => [code, 2] as const),
  ...[Code.Insd_m32_DX, Code.Outsd_DX_m32].map((code) => [code, 4] as const),
]);

function sizeOf(instruction: Instruction): number {
  return SIZES.get(instruction.code) ?? 1;
}

/**
 * Whether the current ring may access `size` ports from `port` on; raises #GP(0) or what reading the TSS raises if not.
 */
function permitted(machine: Machine, port: number, size: number): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl <= ioPrivilege(u32[2 * Reg.RFLAGS]!)) return true;
  const limit = u32[2 * Reg.TR_LIMIT]!;
  if (limit < Tss.IO_MAP_BASE + 1) return cpu.raiseWith(Vector.GP, 0);
  if (!readTss(machine, Tss.IO_MAP_BASE)) return false;
  const at = machine.readLow + (port >>> 3);
  // Two bytes are always read, so that an access may cross from one into the next.
  if (at + 1 > limit) return cpu.raiseWith(Vector.GP, 0);
  if (!readTss(machine, at)) return false;
  const bits = ((1 << size) - 1) << (port & 7);
  return (machine.readLow & bits) === 0 || cpu.raiseWith(Vector.GP, 0);
}

/** Reads 2 bytes of the TSS into readLow. */
function readTss(machine: Machine, offset: number): boolean {
  const { cpu } = machine;
  const at = BigInt.asUintN(64, cpu.regs.u64[Reg.TR_BASE]! + BigInt(offset));
  const kind = Access.READ | Access.IMPLICIT;
  if (!cpu.access(Number(at >> 32n), Number(at & 0xffffffffn), 2, kind, false, false)) return false;
  cpu.noteAccess(2, Access.READ);
  machine.readLow = Number(cpu.loadChecked(2));
  return true;
}

/** IN and OUT. */
export function portAccess(machine: Machine, instruction: Instruction): boolean {
  const { iced } = instruction;
  const { u64 } = machine.cpu.regs;
  const input = instruction.mnemonic === Mnemonic.In;
  const size = sizeOf(instruction);
  const immediate = (input ? iced.op1Kind : iced.op0Kind) === OpKind.Immediate8;
  const port = immediate ? iced.immediate8 : machine.u32[2 * Reg.RDX]! & 0xffff;
  if (!permitted(machine, port, size)) return false;
  watchPort(machine, port, size);
  if (input) {
    const ones = (1n << BigInt(8 * size)) - 1n;
    u64[Reg.RAX] = size === 4 ? ones : u64[Reg.RAX]! | ones;
  }
  return advance(machine, instruction);
}

/** INS and OUTS, with REP one iteration at a time. */
export function portString(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const { u64 } = cpu.regs;
  const { iced } = instruction;
  const input = [Code.Insb_m8_DX, Code.Insw_m16_DX, Code.Insd_m32_DX].includes(instruction.code);
  const kind = input ? iced.op0Kind : iced.op1Kind;
  if (kind !== OpKind.MemoryESRDI && kind !== OpKind.MemorySegRSI)
    throw new NotModelled(
      instruction.address,
      'uses a 32-bit address, which the machine does not model; keep it out of the code under test',
    );
  const repeat = iced.hasRepPrefix || iced.hasRepnePrefix;
  if (repeat && u64[Reg.RCX] === 0n) return advance(machine, instruction);
  const size = sizeOf(instruction);
  const port = u32[2 * Reg.RDX]! & 0xffff;
  if (!permitted(machine, port, size)) return false;
  const pointer = input ? Reg.RDI : Reg.RSI;
  let address = u64[pointer]!;
  if (!input && iced.memorySegment === Register.FS) address += u64[Reg.FS_BASE]!;
  if (!input && iced.memorySegment === Register.GS) address += u64[Reg.GS_BASE]!;
  const stack = !input && iced.memorySegment === Register.SS;
  if (!reach(machine, address, size, input ? Access.WRITE : Access.READ, stack)) return false;
  watchPort(machine, port, size);
  if (input) cpu.storeChecked(size, (1n << BigInt(8 * size)) - 1n);
  const step = BigInt(u32[2 * Reg.RFLAGS]! & Flag.DF ? -size : size);
  u64[pointer] = BigInt.asUintN(64, u64[pointer]! + step);
  if (!repeat) return advance(machine, instruction);
  u64[Reg.RCX] = u64[Reg.RCX]! - 1n;
  if (u64[Reg.RCX] === 0n) return advance(machine, instruction);
  u32[2 * Reg.RFLAGS]! |= Flag.RF;
  return true;
}
