/** The MSRs of FRED (SDM vol. 3, 8.2): stack pointers, stack levels, and IA32_FRED_CONFIG. */
import { Reg } from '../../cpu/registers.js';
import type { Msr } from './model_specific_registers.js';

/** A canonical address, except that bits 11 to 0 may be something else, without the `reserved` bits. */
function fredMsr(register: number, reserved: bigint): Msr {
  return {
    read: (machine) => (machine.profile.fred ? machine.cpu.regs.u64[register]! : undefined),
    write: (machine, value) => {
      if (!machine.profile.fred || value & reserved || !machine.cpu.isCanonical(Number(value >> 32n))) return false;
      machine.rareChange(register);
      machine.cpu.regs.u64[register] = value;
      return true;
    },
  };
}

/** Two bits for each exception: any value is possible. */
const stackLevels: Msr = {
  read: (machine) => (machine.profile.fred ? machine.cpu.regs.u64[Reg.FRED_STKLVLS]! : undefined),
  write: (machine, value) => {
    if (!machine.profile.fred) return false;
    machine.rareChange(Reg.FRED_STKLVLS);
    machine.cpu.regs.u64[Reg.FRED_STKLVLS] = value;
    return true;
  },
};

/** RSP is aligned to 64 bytes, SSP to 8; in IA32_FRED_CONFIG, bits 2, 4, 5 and 11 are reserved. */
const RSP_RESERVED = 0x3fn;
const SSP_RESERVED = 7n;
const CONFIG_RESERVED = 0x834n;

export const FRED_MSRS: readonly (readonly [number, Msr])[] = [
  [0x1cc, fredMsr(Reg.FRED_RSP0, RSP_RESERVED)],
  [0x1cd, fredMsr(Reg.FRED_RSP1, RSP_RESERVED)],
  [0x1ce, fredMsr(Reg.FRED_RSP2, RSP_RESERVED)],
  [0x1cf, fredMsr(Reg.FRED_RSP3, RSP_RESERVED)],
  [0x1d0, stackLevels],
  [0x1d1, fredMsr(Reg.FRED_SSP1, SSP_RESERVED)],
  [0x1d2, fredMsr(Reg.FRED_SSP2, SSP_RESERVED)],
  [0x1d3, fredMsr(Reg.FRED_SSP3, SSP_RESERVED)],
  [0x1d4, fredMsr(Reg.FRED_CONFIG, CONFIG_RESERVED)],
];
