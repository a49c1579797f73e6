/** Texts and machines for tests of interrupts: MSR accesses as assembly, handlers for vectors above 31. */
import { localApic } from '../../src/harness/local_apic.js';
import type { Options, Rig } from './machine.js';
import type { Make } from './rule.js';

const hex = (value: number): string => `0x${value.toString(16)}`;

/** WRMSR of a 64-bit value. It changes RAX, RCX and RDX. */
export function wrmsr(msr: number, low: number, high = 0): string {
  return `\tmovl $${hex(msr)}, %ecx\n\tmovl $${hex(low >>> 0)}, %eax\n\tmovl $${hex(high >>> 0)}, %edx\n\twrmsr\n`;
}

export function rdmsr(msr: number): string {
  return `\tmovl $${hex(msr)}, %ecx\n\trdmsr\n`;
}

/** WRMSR of an x2APIC register by its number. */
export const x2apic = (register: number, low: number, high = 0): string => wrmsr(0x800 + register, low, high);

/** WRMSR to the EOI register. */
export const EOI = x2apic(0x0b, 0);

/** A machine with an IDT for 256 vectors; those in `vectors` have the handler `vN` of the text, if it has one. */
export function withVectors(make: Make, text: string, vectors: readonly number[], options: Options = {}): Rig {
  const rig = make(text, { ...options, regs: { IDTR_LIMIT: 0xfffn, ...options.regs } });
  for (const vector of vectors.filter((v) => text.includes(`v${v}:`))) {
    rig.setGate(vector, options.gates?.[vector] ?? {});
  }
  return rig;
}

/** A register of the first local APIC, as it lies in memory. */
export function apicRegister(rig: Rig, register: number): number {
  const { memory } = rig.machine;
  return memory.u32[2 * (memory.hiddenWord(localApic(0)) + register)]!;
}

/** Whether `vector` is in the eight registers from `register` on (IRR, ISR, TMR). */
export function hasVector(rig: Rig, register: number, vector: number): boolean {
  return (apicRegister(rig, register + (vector >>> 5)) & (1 << (vector & 31))) !== 0;
}
