/**
 * VMX instructions (SDM vol. 3, chapter 30). In a guest they cause VM exits: see vm_exit_instructions.ts. INVEPT and INVVPID
 * do nothing: translations are never stale.
 */
import { Mnemonic, OpKind } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import { type Machine, Return } from '../machine.js';
import { vmEntry } from '../vm_entry.js';
import {
  currentVmcs,
  fieldEncoded,
  isLaunched,
  NO_VMCS,
  readField,
  revisionAt,
  setLaunched,
  VMCS_REVISION,
  writeField,
} from '../vmcs.js';
import { FIXED, inVmxOperation } from '../vmx.js';
import { advance, readOperand, writeOperand } from './operands.js';

/** VM-instruction errors (30.4). */
const InstructionError = {
  VMCALL_IN_ROOT: 1,
  VMCLEAR_ADDRESS: 2,
  VMCLEAR_VMXON_POINTER: 3,
  VMLAUNCH_NOT_CLEAR: 4,
  VMRESUME_NOT_LAUNCHED: 5,
  VMPTRLD_ADDRESS: 9,
  VMPTRLD_VMXON_POINTER: 10,
  VMPTRLD_REVISION: 11,
  UNSUPPORTED_COMPONENT: 12,
  READ_ONLY_COMPONENT: 13,
  VMXON_IN_ROOT: 15,
  BLOCKED_BY_MOV_SS: 26,
} as const;

const STATUS_FLAGS = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF;
const PAGE_OFFSET = 0xfffn;
const HALF = 0xffffffffn;

function finish(machine: Machine, instruction: Instruction, flags: number): true {
  machine.u32[2 * Reg.RFLAGS] = ((machine.u32[2 * Reg.RFLAGS]! & ~STATUS_FLAGS) | flags) >>> 0;
  return advance(machine, instruction);
}

function succeed(machine: Machine, instruction: Instruction): true {
  return finish(machine, instruction, 0);
}

function failInvalid(machine: Machine, instruction: Instruction): true {
  return finish(machine, instruction, Flag.CF);
}

/** VMfail: the error goes into the current VMCS, if there is one. */
function fail(machine: Machine, instruction: Instruction, error: number): true {
  if (currentVmcs(machine) < 0) return failInvalid(machine, instruction);
  writeField(machine, 'INSTRUCTION_ERROR', BigInt(error));
  return finish(machine, instruction, Flag.ZF);
}

/** What comes first: #UD outside VMX operation, #GP(0) outside ring 0. */
function permitted(machine: Machine): boolean {
  if (!inVmxOperation(machine)) return machine.cpu.raise(Vector.UD);
  return machine.cpu.cpl === 0 || machine.cpu.raiseWith(Vector.GP, 0);
}

/** The first word of the region at a physical address; -1 where there can be none. */
function regionAt(machine: Machine, address: bigint): number {
  return address & PAGE_OFFSET ? -1 : machine.memory.physicalWord(address);
}

function setPointer(machine: Machine, register: number, value: bigint): void {
  machine.rareChange(register);
  machine.cpu.regs.u64[register] = value;
}

export function vmxon(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (!(u32[2 * Reg.CR4]! & FIXED.CR4)) return cpu.raise(Vector.UD);
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  if (inVmxOperation(machine)) return fail(machine, instruction, InstructionError.VMXON_IN_ROOT);
  if ((u32[2 * Reg.CR0]! & FIXED.CR0) >>> 0 !== FIXED.CR0) return cpu.raiseWith(Vector.GP, 0);
  const address = readOperand(machine, instruction, 0);
  if (address === undefined) return false;
  const region = regionAt(machine, address);
  if (region < 0 || revisionAt(machine, region) !== VMCS_REVISION) return failInvalid(machine, instruction);
  setPointer(machine, Reg.VMXON_POINTER, address);
  setPointer(machine, Reg.VMCS_POINTER, NO_VMCS);
  u32[2 * Reg.EVENTS]! |= EventState.VMX_ROOT;
  return succeed(machine, instruction);
}

export function vmxoff(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  machine.u32[2 * Reg.EVENTS]! &= ~EventState.VMX_ROOT;
  setPointer(machine, Reg.VMXON_POINTER, 0n);
  setPointer(machine, Reg.VMCS_POINTER, 0n);
  return succeed(machine, instruction);
}

export function vmclear(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  const { u64 } = machine.cpu.regs;
  const address = readOperand(machine, instruction, 0);
  if (address === undefined) return false;
  const region = regionAt(machine, address);
  if (region < 0) return fail(machine, instruction, InstructionError.VMCLEAR_ADDRESS);
  if (address === u64[Reg.VMXON_POINTER]) return fail(machine, instruction, InstructionError.VMCLEAR_VMXON_POINTER);
  setLaunched(machine, region, false);
  if (address === u64[Reg.VMCS_POINTER]) setPointer(machine, Reg.VMCS_POINTER, NO_VMCS);
  return succeed(machine, instruction);
}

export function vmptrld(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  const address = readOperand(machine, instruction, 0);
  if (address === undefined) return false;
  const region = regionAt(machine, address);
  if (region < 0) return fail(machine, instruction, InstructionError.VMPTRLD_ADDRESS);
  if (address === machine.cpu.regs.u64[Reg.VMXON_POINTER])
    return fail(machine, instruction, InstructionError.VMPTRLD_VMXON_POINTER);
  if (revisionAt(machine, region) !== VMCS_REVISION)
    return fail(machine, instruction, InstructionError.VMPTRLD_REVISION);
  setPointer(machine, Reg.VMCS_POINTER, address);
  return succeed(machine, instruction);
}

export function vmptrst(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  return (
    writeOperand(machine, instruction, 0, machine.cpu.regs.u64[Reg.VMCS_POINTER]!) && succeed(machine, instruction)
  );
}

export function vmread(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  if (currentVmcs(machine) < 0) return failInvalid(machine, instruction);
  const component = fieldEncoded(readOperand(machine, instruction, 1)!);
  if (!component) return fail(machine, instruction, InstructionError.UNSUPPORTED_COMPONENT);
  const value = readField(machine, component.field.name);
  return writeOperand(machine, instruction, 0, component.high ? value >> 32n : value) && succeed(machine, instruction);
}

export function vmwrite(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  if (currentVmcs(machine) < 0) return failInvalid(machine, instruction);
  const value = readOperand(machine, instruction, 1);
  if (value === undefined) return false;
  const component = fieldEncoded(readOperand(machine, instruction, 0)!);
  if (!component) return fail(machine, instruction, InstructionError.UNSUPPORTED_COMPONENT);
  const { field, high } = component;
  if (field.readOnly) return fail(machine, instruction, InstructionError.READ_ONLY_COMPONENT);
  const whole = high ? (readField(machine, field.name) & HALF) | ((value & HALF) << 32n) : value;
  writeField(machine, field.name, whole);
  return succeed(machine, instruction);
}

/** VMLAUNCH and VMRESUME: they end in the guest, in the host at its RIP, or behind themselves with an error. */
export function vmlaunch(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  const vmcs = currentVmcs(machine);
  if (vmcs < 0) return failInvalid(machine, instruction);
  if (machine.u32[2 * Reg.EVENTS]! & EventState.MOV_SS_SHADOW) {
    machine.happened.failedCheck = 'events are blocked by MOV SS (SDM 26.1)';
    return fail(machine, instruction, InstructionError.BLOCKED_BY_MOV_SS);
  }
  const launch = instruction.mnemonic === Mnemonic.Vmlaunch;
  if (launch === isLaunched(machine, vmcs)) {
    const { VMLAUNCH_NOT_CLEAR, VMRESUME_NOT_LAUNCHED } = InstructionError;
    machine.happened.failedCheck = launch
      ? 'VMLAUNCH with a VMCS that has been launched (SDM 26.1)'
      : 'VMRESUME with a VMCS that has not been launched (SDM 26.1)';
    return fail(machine, instruction, launch ? VMLAUNCH_NOT_CLEAR : VMRESUME_NOT_LAUNCHED);
  }
  const error = vmEntry(machine);
  if (machine.happened.vmEntry) machine.happened.returned = Return.VM_ENTRY;
  return error === 0 || fail(machine, instruction, error);
}

export function vmcall(machine: Machine, instruction: Instruction): boolean {
  return permitted(machine) && fail(machine, instruction, InstructionError.VMCALL_IN_ROOT);
}

/** INVEPT and INVVPID; their descriptor of 16 bytes is read all the same. */
export function invalidateMappings(machine: Machine, instruction: Instruction): boolean {
  if (!permitted(machine)) return false;
  if (instruction.iced.op1Kind === OpKind.Memory && readOperand(machine, instruction, 1) === undefined) return false;
  return succeed(machine, instruction);
}
