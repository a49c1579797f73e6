/** IA32_APIC_BASE and the x2APIC registers as RDMSR and WRMSR see them (SDM vol. 3, 10.12; vol. 4, table 2-2). */
import type { Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Reg } from '../../cpu/registers.js';
import type { LocalApic } from '../local_apic.js';
import type { Machine } from '../machine.js';
import type { Msr } from './model_specific_registers.js';

/** The range that belongs to the x2APIC, used or not. */
const FIRST = 0x800;
const COUNT = 0x100;

function apicOf(machine: Machine, instruction: Pick<Instruction, 'address'>): LocalApic {
  if (machine.apic === undefined)
    throw new NotModelled(instruction.address, 'uses a local APIC; this machine has none');
  return machine.apic;
}

const halves = (value: bigint): readonly [high: number, low: number] => [
  Number(value >> 32n),
  Number(value & 0xffffffffn),
];

const apicBase: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.APIC_BASE]!,
  write: (machine, value, instruction) => apicOf(machine, instruction).writeBase(...halves(value)),
};

function x2apic(register: number): Msr {
  return {
    read: (machine, instruction) => {
      const value = apicOf(machine, instruction).readMsr(register);
      return value && (BigInt(value[0]) << 32n) | BigInt(value[1]);
    },
    write: (machine, value, instruction) => apicOf(machine, instruction).writeMsr(register, ...halves(value)),
  };
}

export const LOCAL_APIC_MSRS: readonly (readonly [number, Msr])[] = [
  [0x1b, apicBase],
  ...Array.from({ length: COUNT }, (_, register) => [FIRST + register, x2apic(register)] as const),
];
