/** RSM (SDM vol. 2; vol. 3, 34.3 "Exiting from SMM"). Outside SMM it is an undefined instruction. */
import { Vector } from '../../cpu/cpu.js';
import { Reg } from '../../cpu/registers.js';
import { EventState } from '../event_state.js';
import type { Machine } from '../machine.js';
import { leaveSmm } from '../smm.js';

export function rsm(machine: Machine): boolean {
  if (!(machine.u32[2 * Reg.EVENTS]! & EventState.SMM)) return machine.cpu.raise(Vector.UD);
  leaveSmm(machine);
  return true;
}
