/**
 * MOV to and from debug registers and INT1 (SDM vol. 2; vol. 3, 17.2), and the model-specific registers around them:
 * IA32_DEBUGCTL (17.4.1) and AMD's address masks (APM vol. 2, 13.1.1).
 *
 * The checks come in the order privilege, DR4 and DR5, general detect, value; the manuals do not say.
 */
import { Register } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import { type Instruction, registerNumber } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { Dr6, Dr7, debugInterrupt, generalDetect } from '../debug.js';
import type { Machine } from '../machine.js';
import type { Msr } from './model_specific_registers.js';
import { advance } from './operands.js';

const CR4_DE = 1 << 3;

/** IA32_DEBUGCTL: LBR, BTF, bus-lock detection, TR, BTS and what freezes counters; on AMD, LBR, BTF, PB0 to PB3. */
const DEBUGCTL = { intel: 0xffc7n, amd: 0x3fn } as const;
const LOW_HALF = 0xffffffffn;

/** What an access has come to: a register, a fault that is described, or #DB already delivered. */
const Outcome = { FAULT: -1, DELIVERED: -2 } as const;

/** The number of the debug register that is meant; DR4 and DR5 are DR6 and DR7 while CR4.DE is clear. */
function access(machine: Machine, register: Register): number {
  const { cpu, u32 } = machine;
  let n = register - Register.DR0;
  if (cpu.cpl !== 0) {
    cpu.raiseWith(Vector.GP, 0);
    return Outcome.FAULT;
  }
  if (n === 4 || n === 5) {
    if (u32[2 * Reg.CR4]! & CR4_DE) {
      cpu.raise(Vector.UD);
      return Outcome.FAULT;
    }
    n += 2;
  }
  if (u32[2 * Reg.DR7]! & Dr7.GD) {
    generalDetect(machine);
    return Outcome.DELIVERED;
  }
  return n < 4 ? Reg.DR0 + n : n === 6 ? Reg.DR6 : Reg.DR7;
}

export function movFromDebug(machine: Machine, instruction: Instruction): boolean {
  const { iced } = instruction;
  const register = access(machine, iced.op1Register);
  if (register < 0) return register === Outcome.DELIVERED;
  machine.cpu.regs.u64[registerNumber(iced.op0Register)] = machine.cpu.regs.u64[register]!;
  return advance(machine, instruction);
}

export function movToDebug(machine: Machine, instruction: Instruction): boolean {
  const { iced } = instruction;
  const { cpu } = machine;
  const register = access(machine, iced.op0Register);
  if (register < 0) return register === Outcome.DELIVERED;
  let value = cpu.regs.u64[registerNumber(iced.op1Register)]!;
  if (register === Reg.DR6 || register === Reg.DR7) {
    if (value > LOW_HALF) return cpu.raiseWith(Vector.GP, 0);
    const low = Number(value);
    value = BigInt(
      (register === Reg.DR6
        ? (low & (Dr6.B0_TO_B3 | Dr6.BD | Dr6.BS | Dr6.BT)) | Dr6.FIXED
        : (low & Dr7.WRITABLE) | Dr7.FIXED) >>> 0,
    );
  }
  machine.rareChange(register);
  cpu.regs.u64[register] = value;
  return advance(machine, instruction);
}

/** INT1: no privilege check at the gate, and no BS in DR6. RF is pushed as 0, as by every software interrupt. */
export function int1(machine: Machine, instruction: Instruction): true {
  machine.u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  debugInterrupt(machine, instruction.length);
  return true;
}

const debugctl: Msr = {
  read: (machine) => machine.cpu.regs.u64[Reg.DEBUGCTL]!,
  write: (machine, value, instruction) => {
    if (value & ~DEBUGCTL[machine.profile.vendor]) return false;
    if (value !== 0n) {
      throw new NotModelled(
        instruction.address,
        `sets IA32_DEBUGCTL to 0x${value.toString(16)}: branch records, branch traps and bus-lock traps are not modelled`,
      );
    }
    return true;
  },
};

function addressMask(register: number): Msr {
  return {
    read: (machine) => (machine.profile.breakpointAddressMasks ? machine.cpu.regs.u64[register]! : undefined),
    write: (machine, value) => {
      if (!machine.profile.breakpointAddressMasks || value > LOW_HALF) return false;
      machine.rareChange(register);
      machine.cpu.regs.u64[register] = value;
      return true;
    },
  };
}

/** By number. */
export const DEBUG_MSRS: readonly (readonly [number, Msr])[] = [
  [0x1d9, debugctl],
  [0xc0011019, addressMask(Reg.DR1_MASK)],
  [0xc001101a, addressMask(Reg.DR2_MASK)],
  [0xc001101b, addressMask(Reg.DR3_MASK)],
  [0xc0011027, addressMask(Reg.DR0_MASK)],
];
