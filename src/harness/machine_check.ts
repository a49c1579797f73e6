/**
 * The machine check, #MC (SDM vol. 3, 6.15 "Interrupt 18" and chapter 15): delivered at any boundary, whatever IF, the NMI
 * latch and the shadows say. The processor logs the error in bank 0 and sets IA32_MCG_STATUS.MCIP with it; another one while MCIP
 * is set, or one with CR4.MCE clear, shuts the processor down. INT 18 and vector 18 from the INTR pin run the handler, and
 * do nothing of this.
 *
 * MCIP and its neighbours are bits of Reg.EVENTS. The bank, and IA32_MCG_CTL, lie in a hidden region; a machine without it
 * has no bank, and reports every error.
 */
import { Vector } from '../cpu/cpu.js';
import { type GuestMemory, PAGE_SIZE, type Region } from '../cpu/memory.js';
import { Reg } from '../cpu/registers.js';
import { deliver, Origin } from './delivery.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';

/** Name of the hidden region, and how many words of it each processor has. */
const REGION = 'machine check';
const WORDS = 8;
/** What the words are; the first four are in the order of the MSRs of a bank. */
export const MachineCheckWord = { CTL: 0, STATUS: 1, ADDR: 2, MISC: 3, GLOBAL_CTL: 4 } as const;

const ALL_ERRORS = 0xffffffffffffffffn;

const CR4_MCE = 1 << 6;

/** Bits of the upper half of IA32_MCi_STATUS (SDM vol. 3, 15.3.2.2). */
const Status = { EN: 1 << 28, UC: 1 << 29, OVER: 1 << 30, VAL: 1 << 31 } as const;
/** "Unclassified": the error is no business of the code under test (SDM vol. 3, table 15-9). */
const UNCLASSIFIED = 1;

/**
 * A machine check arrives at this boundary; where the processors broadcast it, the others take it as soon as they run
 * (SDM vol. 3, 15.10.4.1).
 */
export function machineCheck(machine: Machine): void {
  const { processors, profile, u32 } = machine;
  if (profile.machineCheckBroadcast) {
    for (let n = 0; n < processors.count; n++) {
      if (n !== processors.running) u32[processors.place(n, Reg.EVENTS)]! |= EventState.MC_PENDING;
    }
  }
  signalMachineCheck(machine);
}

/** Takes a machine check that was broadcast. */
export function takeMachineCheck(machine: Machine): void {
  machine.u32[2 * Reg.EVENTS]! &= ~EventState.MC_PENDING;
  signalMachineCheck(machine);
}

function signalMachineCheck(machine: Machine): void {
  const { u32 } = machine;
  if (!log(machine)) return;
  const events = u32[2 * Reg.EVENTS]!;
  const again = (events & EventState.MCIP) !== 0 && machine.profile.machineCheckWhileMcipShutsDown;
  if (!(u32[2 * Reg.CR4]! & CR4_MCE) || again) {
    machine.shutDown(
      again ? 'a machine check came while MCG_STATUS.MCIP was set' : 'a machine check came while CR4.MCE was clear',
    );
    return;
  }
  // The interrupted instruction has not begun: the saved RIP is where to go on, and has nothing to do with the error.
  u32[2 * Reg.EVENTS] = (events & ~EventState.EIPV) | EventState.MCIP | EventState.RIPV;
  deliver(machine, Vector.MC, Origin.EXTERNAL, undefined);
}

/** The memory that the banks of so many processors need. */
export function machineCheckRegion(processors: number): Region {
  const size = Math.ceil((8 * WORDS * processors) / PAGE_SIZE) * PAGE_SIZE;
  return { name: REGION, address: 0n, size, perms: 0, hidden: true };
}

/** Lets all errors be reported, as system software does when it starts. */
export function enableMachineCheck(memory: GuestMemory, processors: number): void {
  for (let n = 0; n < processors; n++) {
    const bank = memory.hiddenWord(REGION) + WORDS * n;
    for (const word of [MachineCheckWord.CTL, MachineCheckWord.GLOBAL_CTL]) {
      memory.view.setBigUint64(8 * (bank + word), ALL_ERRORS, true);
    }
  }
}

/** The first word of the running processor's bank (buffer offset / 8); -1 if the machine has none. */
export function machineCheckBank(machine: Machine): number {
  const region = machine.memory.hiddenWord(REGION);
  return region < 0 ? -1 : region + WORDS * machine.u32[2 * Reg.PROCESSOR]!;
}

/** Logs the error in bank 0; true if it is one that is signalled. */
function log(machine: Machine): boolean {
  const { memory, cpu } = machine;
  const bank = machineCheckBank(machine);
  if (bank < 0) return true;
  for (const word of [MachineCheckWord.CTL, MachineCheckWord.STATUS, MachineCheckWord.GLOBAL_CTL]) {
    cpu.noteRead(bank + word);
  }
  const low = (word: number): number => 2 * (bank + word);
  const enabled = (memory.u32[low(MachineCheckWord.CTL)]! & memory.u32[low(MachineCheckWord.GLOBAL_CTL)]! & 1) !== 0;
  const status = low(MachineCheckWord.STATUS);
  memory.willWrite(bank + MachineCheckWord.STATUS);
  // An uncorrected error stays when another one comes; that it came is noted.
  if (memory.u32[status + 1]! & Status.VAL) memory.u32[status + 1]! |= Status.OVER;
  else {
    memory.u32[status] = UNCLASSIFIED;
    memory.u32[status + 1] = Status.VAL | Status.UC | (enabled ? Status.EN : 0);
  }
  return enabled;
}
