/**
 * The shadows of STI and MOV SS (SDM vol. 3, 6.8.1 and 6.8.3; vol. 2, STI and MOV): for one instruction they hold back interrupts,
 * that of MOV SS also NMIs and debug exceptions. What they hold back is decided where it is taken: priorities.ts, nmi_latch.ts, debug.ts.
 * The delivery of any event ends them: delivery.ts.
 */
import { Register } from 'iced-x86';
import type { Instruction } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';

/**
 * To be called after an instruction that began in `shadows`: they end with it, and one that it has cast itself begins. Of
 * two MOV SS in a row only the first is guaranteed to have one (6.8.3); a second STI finds IF set and casts none anyway.
 */
export function endShadows(machine: Machine, shadows: number, instruction: Instruction): void {
  const again = machine.profile.secondShadowExtends && instruction.iced.op0Register === Register.SS;
  machine.u32[2 * Reg.EVENTS]! &= ~(again ? shadows & ~EventState.MOV_SS_SHADOW : shadows);
  machine.systemChanged = true;
}
