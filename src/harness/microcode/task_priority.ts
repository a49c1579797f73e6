/** MOV to and from CR8, the task priority class of the local APIC (SDM vol. 2, MOV CR; vol. 3, 10.8.6). */
import { Vector } from '../../cpu/cpu.js';
import { type Instruction, registerNumber } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import type { LocalApic } from '../local_apic.js';
import type { Machine } from '../machine.js';
import { advance } from './operands.js';

function apicOf(machine: Machine, instruction: Instruction): LocalApic {
  if (machine.apic) return machine.apic;
  throw new NotModelled(instruction.address, 'uses CR8, which belongs to a local APIC; this machine has none');
}

export function movFromCr8(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = apicOf(machine, instruction).taskPriorityClass;
  cpu.regs.u64[registerNumber(instruction.iced.op0Register)] = BigInt(value);
  return advance(machine, instruction);
}

export function movToCr8(machine: Machine, instruction: Instruction): boolean {
  const { cpu } = machine;
  if (cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  const value = cpu.regs.u64[registerNumber(instruction.iced.op1Register)]!;
  if (value > 15n) return cpu.raiseWith(Vector.GP, 0);
  apicOf(machine, instruction).taskPriorityClass = Number(value);
  return advance(machine, instruction);
}
