/**
 * LAR, LSL, VERR and VERW (SDM vol. 2): they look at a descriptor and set ZF if it may be used, and raise nothing for
 * one that may not. In IA-32e mode the system descriptors are those of the LDT, the 64-bit TSS and the 64-bit call
 * gate.
 */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../../cpu/cpu.js';
import type { Instruction } from '../../cpu/decoder.js';
import { Flag, Reg } from '../../cpu/registers.js';
import { descriptorDpl, descriptorLimit, Segment, SystemType, systemType } from '../descriptors.js';
import type { Machine } from '../machine.js';
import { advance, readOperand, writeOperand } from './operands.js';

/**
 * What LAR gives of the upper half of a descriptor (APM vol. 3, LAR). Intel leaves bits 16 to 19, of the limit,
 * undefined.
 */
const RIGHTS = 0x00ffff00;

const LAR_TYPES: ReadonlySet<number> = new Set([
  ...[SystemType.LDT, SystemType.AVAILABLE_TSS, SystemType.BUSY_TSS, SystemType.CALL_GATE],
]);
const LSL_TYPES: ReadonlySet<number> = new Set([SystemType.LDT, SystemType.AVAILABLE_TSS, SystemType.BUSY_TSS]);

/** The outcome of a look at a descriptor: it may be used (then it is in readLow and readHigh), it may not, a fault. */
type Seen = 'usable' | 'unusable' | 'fault';

/** Reads the descriptor of `selector` if its privilege level lets the current ring and the selector's RPL use it. */
function look(machine: Machine, selector: number, systemTypes: ReadonlySet<number>): Seen {
  const { cpu, u32 } = machine;
  const limit = u32[2 * (selector & 4 ? Reg.LDTR_LIMIT : Reg.GDTR_LIMIT)]!;
  if ((selector & 0xfffc) === 0 || (selector | 7) > limit) return 'unusable';
  if (!machine.readDescriptor(selector, Vector.GP, 0)) return 'fault';
  const high = machine.readHigh;
  const conforming =
    (high & Segment.CODE_OR_DATA) !== 0 && (high & Segment.EXECUTABLE) !== 0 && (high & Segment.CONFORMING) !== 0;
  if (!(high & Segment.CODE_OR_DATA) && !systemTypes.has(systemType(high))) return 'unusable';
  const dpl = descriptorDpl(high);
  return conforming || (dpl >= cpu.cpl && dpl >= (selector & 3)) ? 'usable' : 'unusable';
}

function finish(machine: Machine, instruction: Instruction, zero: boolean): true {
  const { u32 } = machine;
  if (zero) u32[2 * Reg.RFLAGS]! |= Flag.ZF;
  else u32[2 * Reg.RFLAGS]! &= ~Flag.ZF;
  return advance(machine, instruction);
}

/** LAR and LSL. */
export function loadAccessRights(machine: Machine, instruction: Instruction): boolean {
  const source = readOperand(machine, instruction, 1);
  if (source === undefined) return false;
  const rights = instruction.mnemonic === Mnemonic.Lar;
  const seen = look(machine, Number(source & 0xffffn), rights ? LAR_TYPES : LSL_TYPES);
  if (seen === 'fault') return false;
  if (seen === 'usable') {
    const value = rights ? machine.readHigh & RIGHTS : descriptorLimit(machine.readLow, machine.readHigh);
    writeOperand(machine, instruction, 0, BigInt(value));
  }
  return finish(machine, instruction, seen === 'usable');
}

const NONE: ReadonlySet<number> = new Set();

/** VERR and VERW. */
export function verify(machine: Machine, instruction: Instruction): boolean {
  const source = readOperand(machine, instruction, 0);
  if (source === undefined) return false;
  const seen = look(machine, Number(source & 0xffffn), NONE);
  if (seen === 'fault') return false;
  const code = (machine.readHigh & Segment.EXECUTABLE) !== 0;
  // One bit says "readable" of code and "writable" of data; data is always readable, code never writable.
  const bit = (machine.readHigh & Segment.WRITABLE) !== 0;
  const allowed = instruction.mnemonic === Mnemonic.Verr ? !code || bit : !code && bit;
  return finish(machine, instruction, seen === 'usable' && allowed);
}
