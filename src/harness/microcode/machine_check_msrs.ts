/** The machine-check registers as RDMSR and WRMSR see them (SDM vol. 3, 15.3; vol. 4, table 2-2). */
import { Reg } from '../../cpu/registers.js';
import { EventState, MCG_STATUS_SHIFT } from '../event_state.js';
import type { Machine } from '../machine.js';
import { MachineCheckWord, machineCheckBank } from '../machine_check.js';
import type { Msr } from './model_specific_registers.js';

/** IA32_MCG_CAP: one bank, and there is an IA32_MCG_CTL. */
const MCG_CAP = 1n | (1n << 8n);
/** RIPV, EIPV, MCIP: the only bits of IA32_MCG_STATUS. */
const MCG_STATUS = 7n;

const mcgCap: Msr = {
  read: (machine) => (machineCheckBank(machine) < 0 ? 0n : MCG_CAP),
  write: () => false,
};

const mcgStatus: Msr = {
  read: ({ u32 }) => BigInt(u32[2 * Reg.EVENTS]! >>> MCG_STATUS_SHIFT) & MCG_STATUS,
  write: ({ u32 }, value) => {
    if (value & ~MCG_STATUS) return false;
    const kept = u32[2 * Reg.EVENTS]! & ~(EventState.RIPV | EventState.EIPV | EventState.MCIP);
    u32[2 * Reg.EVENTS] = kept | (Number(value) << MCG_STATUS_SHIFT);
    return true;
  },
};

/** A control register of the bank takes anything; what the processor has logged can be cleared, and not written. */
function bankMsr(word: number, control: boolean): Msr {
  return {
    read: (machine) => {
      const at = wordOf(machine, word);
      if (at < 0) return undefined;
      machine.cpu.noteRead(at);
      return machine.memory.view.getBigUint64(8 * at, true);
    },
    write: (machine, value) => {
      const at = wordOf(machine, word);
      if (at < 0 || !(control || value === 0n)) return false;
      machine.memory.willWrite(at);
      machine.memory.view.setBigUint64(8 * at, value, true);
      return true;
    },
  };
}

function wordOf(machine: Machine, word: number): number {
  const bank = machineCheckBank(machine);
  return bank < 0 ? -1 : bank + word;
}

export const MACHINE_CHECK_MSRS: readonly (readonly [number, Msr])[] = [
  [0x179, mcgCap],
  [0x17a, mcgStatus],
  [0x17b, bankMsr(MachineCheckWord.GLOBAL_CTL, true)],
  [0x400, bankMsr(MachineCheckWord.CTL, true)],
  [0x401, bankMsr(MachineCheckWord.STATUS, false)],
  [0x402, bankMsr(MachineCheckWord.ADDR, false)],
  [0x403, bankMsr(MachineCheckWord.MISC, false)],
];
