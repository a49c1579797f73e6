/**
 * Instructions that cause VM exits (SDM vol. 3, 25.1.2 and 25.1.3), of those that the machine has. Faults that depend on the
 * privilege level come before the exit, except with the VMX instructions.
 */
import { Mnemonic, Register } from 'iced-x86';
import { type Instruction, registerNumber } from '../cpu/decoder.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import type { Machine } from './machine.js';
import { exitByInstruction } from './vm_exit.js';
import { type FieldName, readField, readField32 } from './vmcs.js';
import { ExitReason, ProcessorBased } from './vmx.js';

/** In every guest, and in every ring. */
const ALWAYS: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Cpuid, ExitReason.CPUID],
  [Mnemonic.Vmcall, ExitReason.VMCALL],
  [Mnemonic.Vmclear, ExitReason.VMCLEAR],
  [Mnemonic.Vmlaunch, ExitReason.VMLAUNCH],
  [Mnemonic.Vmptrld, ExitReason.VMPTRLD],
  [Mnemonic.Vmptrst, ExitReason.VMPTRST],
  [Mnemonic.Vmread, ExitReason.VMREAD],
  [Mnemonic.Vmresume, ExitReason.VMRESUME],
  [Mnemonic.Vmwrite, ExitReason.VMWRITE],
  [Mnemonic.Vmxoff, ExitReason.VMXOFF],
  [Mnemonic.Vmxon, ExitReason.VMXON],
  [Mnemonic.Invept, ExitReason.INVEPT],
  [Mnemonic.Invvpid, ExitReason.INVVPID],
]);

/** Exit qualification of CR3 accesses (table 27-3): the register, MOV from it, the general register. */
const CR3 = 3;
const MOV_FROM = 1 << 4;
const GENERAL_REGISTER_SHIFT = 8;

/** The MSR bitmaps (24.6.9): 1 KiB each, in this order; the MSRs that each covers begin at the number. */
const HIGH_MSRS = 0xc0000000;
const MSRS_PER_BITMAP = 0x2000;
const BITMAP_SIZE = 1024;

/** Whether an instruction of the guest's has caused a VM exit instead of being executed. */
export function exitsOnInstruction(machine: Machine, instruction: Instruction): boolean {
  const { mnemonic, length } = instruction;
  const always = ALWAYS.get(mnemonic);
  if (always !== undefined) {
    exitByInstruction(machine, always, length);
    return true;
  }
  if (machine.cpu.cpl !== 0) return false;
  const controls = (bit: number): boolean => (readField32(machine, 'PROCESSOR_BASED_CONTROLS') & bit) !== 0;
  const { iced } = instruction;
  switch (mnemonic) {
    case Mnemonic.Invd:
      exitByInstruction(machine, ExitReason.INVD, length);
      return true;
    case Mnemonic.Hlt:
      if (!controls(ProcessorBased.HLT_EXITING)) return false;
      exitByInstruction(machine, ExitReason.HLT, length);
      return true;
    case Mnemonic.Rdmsr:
    case Mnemonic.Wrmsr: {
      const write = mnemonic === Mnemonic.Wrmsr;
      if (controls(ProcessorBased.USE_MSR_BITMAPS) && !inBitmap(machine, instruction, write)) return false;
      exitByInstruction(machine, write ? ExitReason.WRMSR : ExitReason.RDMSR, length);
      return true;
    }
    case Mnemonic.Mov: {
      const load = iced.op0Register === Register.CR3;
      if (!load && iced.op1Register !== Register.CR3) return false;
      if (!controls(load ? ProcessorBased.CR3_LOAD_EXITING : ProcessorBased.CR3_STORE_EXITING)) return false;
      const general = registerNumber(load ? iced.op1Register : iced.op0Register) << GENERAL_REGISTER_SHIFT;
      exitByInstruction(machine, ExitReason.CR_ACCESS, length, BigInt(CR3 | (load ? 0 : MOV_FROM) | general));
      return true;
    }
    default:
      return false;
  }
}

/** Whether the host's bitmaps have the access to the MSR in ECX cause an exit; they cover two ranges, and all others do. */
function inBitmap(machine: Machine, instruction: Instruction, write: boolean): boolean {
  const msr = machine.u32[2 * Reg.RCX]!;
  const high = msr >= HIGH_MSRS;
  const number = high ? msr - HIGH_MSRS : msr;
  if (number >= MSRS_PER_BITMAP) return true;
  const field: FieldName = 'MSR_BITMAPS';
  const word = machine.memory.physicalWord(readField(machine, field) & ~0xfffn);
  if (word < 0) throw new NotModelled(instruction.address, 'uses MSR bitmaps where there is no memory');
  const byte = BITMAP_SIZE * ((write ? 2 : 0) + (high ? 1 : 0)) + (number >>> 3);
  machine.cpu.noteRead(word + (byte >>> 3));
  return (machine.memory.u8[8 * word + byte]! & (1 << (number & 7))) !== 0;
}
