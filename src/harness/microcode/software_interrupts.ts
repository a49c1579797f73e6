/** INT n, INT3 and UD2 (SDM vol. 2). */
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { deliver, Origin } from '../delivery.js';
import type { Machine } from '../machine.js';

export function int3(machine: Machine, instruction: Instruction): true {
  deliver(machine, Vector.BP, Origin.SOFTWARE, undefined, instruction.length);
  return true;
}

export function intN(machine: Machine, instruction: Instruction): true {
  deliver(machine, instruction.iced.immediate8, Origin.SOFTWARE, undefined, instruction.length);
  return true;
}

export function ud2(machine: Machine): boolean {
  return machine.cpu.raise(Vector.UD);
}
