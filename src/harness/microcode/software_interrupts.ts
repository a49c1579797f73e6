/** INT n, INT3 and the undefined instructions UD0, UD1 and UD2 (SDM vol. 2). */
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { deliver, Origin } from '../delivery.js';
import type { Machine } from '../machine.js';

export function int3(machine: Machine, instruction: Instruction): true {
  return interrupt(machine, instruction, Vector.BP);
}

export function intN(machine: Machine, instruction: Instruction): true {
  return interrupt(machine, instruction, instruction.iced.immediate8);
}

function interrupt(machine: Machine, instruction: Instruction, vector: number): true {
  // RF is pushed as 0: the instruction has cleared it before (SDM vol. 3, 17.3.1.1).
  machine.u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  deliver(machine, vector, Origin.SOFTWARE, undefined, instruction.length);
  return true;
}

export function undefinedInstruction(machine: Machine): boolean {
  return machine.cpu.raise(Vector.UD);
}
