/**
 * Instructions that need what the machine does not have: time, randomness, devices, extended state. They are refused
 * with the line that names them, since no value would be right; but where the current ring may not execute them at all,
 * the processor says so first, and that exception is delivered.
 */
import { type Code, Instruction as IcedInstruction, Mnemonic } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { Machine } from '../machine.js';
import { Cr4 } from './control_registers.js';

const CR4_OSXSAVE = 1 << 18;
const XSAVE: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Xsetbv, Mnemonic.Xsaves, Mnemonic.Xsaves64, Mnemonic.Xrstors, Mnemonic.Xrstors64],
]);

function refuse(instruction: Instruction, what: string): never {
  const name = Mnemonic[instruction.mnemonic]!.toLowerCase();
  throw new NotModelled(instruction.address, `${name} ${what}; keep it out of the code under test`);
}

export function refused(_machine: Machine, instruction: Instruction): never {
  refuse(instruction, 'is not modelled');
}

/** RDTSC, RDTSCP and RDPMC: CR4 says whether they are privileged. */
export function counter(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  const cr4 = u32[2 * Reg.CR4]!;
  const privileged = instruction.mnemonic === Mnemonic.Rdpmc ? !(cr4 & Cr4.PCE) : (cr4 & Cr4.TSD) !== 0;
  if (privileged && cpu.cpl !== 0) return cpu.raiseWith(Vector.GP, 0);
  refuse(instruction, 'reads a counter, and time is not modelled');
}

/** MONITOR and MWAIT: how long MWAIT waits is the processor's choice, and any choice would hide schedules. */
export function monitorWait(machine: Machine, instruction: Instruction): boolean {
  if (machine.cpu.cpl !== 0) return machine.cpu.raise(Vector.UD);
  refuse(instruction, 'is not modelled');
}

/**
 * Every privileged instruction that has no routine of its own: it belongs to an extension that CPUID does not report.
 */
export function privileged(machine: Machine, instruction: Instruction): boolean {
  const { cpu, u32 } = machine;
  if (cpu.cpl !== 0) {
    // Of these only XSAVE's has a switch that turns "undefined" into "privileged" here.
    const enabled = XSAVE.has(instruction.mnemonic) && u32[2 * Reg.CR4]! & CR4_OSXSAVE;
    return enabled ? cpu.raiseWith(Vector.GP, 0) : cpu.raise(Vector.UD);
  }
  refuse(instruction, 'is a privileged instruction that the machine does not model');
}

/** Whether an instruction is privileged. */
export function isPrivileged(code: Code): boolean {
  const iced = new IcedInstruction();
  iced.code = code;
  const answer = iced.isPrivileged;
  iced.free();
  return answer;
}
