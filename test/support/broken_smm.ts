/** Machines that are broken on purpose in system-management mode and in the machine check. */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../../src/cpu/cpu.js';
import { Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import type { Machine } from '../../src/harness/machine.js';
import { enableMachineCheck } from '../../src/harness/machine_check.js';
import { SMI_VECTOR } from '../../src/harness/smm.js';
import type { Profile } from '../../src/profiles/profile.js';
import { afterDelivery, afterInstruction, around, type Broken, withProfile } from './broken.js';

const EVENTS = 2 * Reg.EVENTS;

/** Runs `patch` after every SMI that is taken. */
function afterSmi(machine: Machine, patch: (registersBefore: BigUint64Array) => void): void {
  afterDelivery(machine, (before) => {
    if (machine.happened.vector === SMI_VECTOR) patch(before);
  });
}

/** Changes the EVENTS bits after every SMI that is taken. */
function changingEventsAfterSmi(set: number, cleared: number): Broken {
  return (machine) =>
    afterSmi(machine, () => {
      machine.u32[EVENTS] = (machine.u32[EVENTS]! & ~cleared) | set;
    });
}

/** An SMI leaves a register as it was. */
export function keepingOverSmi(register: number): Broken {
  return function keepingOverSmi(machine) {
    afterSmi(machine, (before) => {
      machine.cpu.regs.u64[register] = before[register]!;
    });
  };
}

/** RSM leaves a register as SMM code had it. */
export function keepingOverRsm(register: number): Broken {
  return function keepingOverRsm(machine) {
    afterInstruction(machine, Mnemonic.Rsm, (before) => {
      machine.cpu.regs.u64[register] = before[register]!;
    });
  };
}

/** The processor keeps the whole state to itself: RSM brings back all registers as they were before the SMI. */
export function withoutSmram(machine: Machine): void {
  let kept: BigUint64Array | undefined;
  afterSmi(machine, (before) => {
    kept = before.slice();
  });
  afterInstruction(machine, Mnemonic.Rsm, () => {
    const events = machine.cpu.regs.u64[Reg.EVENTS]!;
    if (kept) machine.cpu.regs.u64.set(kept);
    machine.cpu.regs.u64[Reg.EVENTS] = events;
  });
}

/** Selects address spaces as if the processor were in SMM, or were not. */
function selecting(machine: Machine, inSmm: (smm: boolean) => boolean): void {
  const { cpu } = machine;
  const selectSpace = cpu.selectSpace.bind(cpu);
  cpu.selectSpace = (smm) => selectSpace(inSmm(smm));
  machine.changed();
}

/** SMRAM is memory like any other. */
export function openingSmram(machine: Machine): void {
  selecting(machine, () => true);
}

/** SMRAM is closed to everybody. */
export function closingSmram(machine: Machine): void {
  selecting(machine, () => false);
}

/** SMRAM stays open when RSM has left SMM. */
export function leavingSmramOpen(machine: Machine): void {
  let open = false;
  selecting(machine, (smm) => {
    open ||= smm;
    return open;
  });
}

/** The state is saved in the map of the other vendor. */
export function withOtherMap(machine: Machine): void {
  withProfile(machine, ({ vendor }) => ({ vendor: vendor === 'amd' ? 'intel' : 'amd' }));
}

/** NMIs are not blocked in SMM. */
export const withoutBlockingInSmm: Broken = changingEventsAfterSmi(0, EventState.NMI_BLOCKED);

/** Blocking by STI and MOV SS goes on in SMM. */
export const keepingShadowInSmm: Broken = changingEventsAfterSmi(EventState.STI_SHADOW, 0);

/** An SMI does not wake a halted processor. */
export const sleepingOnInSmm: Broken = changingEventsAfterSmi(EventState.HALTED, 0);

/** An NMI that arrives in SMM is lost. */
export function losingNmisInSmm(machine: Machine): void {
  const { raise } = machine.nmi;
  machine.nmi.raise = () => {
    if (!(machine.u32[EVENTS]! & EventState.SMM)) raise.call(machine.nmi);
  };
}

/** An SMI that arrives in SMM is lost. */
export function losingSmisInSmm(machine: Machine): void {
  around(machine, () => {
    if (machine.u32[EVENTS]! & EventState.SMM) machine.u32[EVENTS]! &= ~EventState.SMI_PENDING;
  });
}

/** SMIs are not blocked in SMM. */
export function nestingSmis(machine: Machine): void {
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    machine.u32[EVENTS]! &= ~EventState.SMM;
    fire(event);
  };
}

/** An IRET in SMM does not unblock NMIs. */
export function neverUnblockingInSmm(machine: Machine): void {
  const { unblock } = machine.nmi;
  machine.nmi.unblock = () => {
    if (!(machine.u32[EVENTS]! & EventState.SMM)) unblock.call(machine.nmi);
  };
}

/** RSM leaves NMIs blocked, or not, by the policy after this one. */
export function withOtherNmiPolicy(machine: Machine): void {
  const next: Record<Profile['smmNmiPolicy'], Profile['smmNmiPolicy']> = {
    preserved: 'iret-unblocks',
    'iret-unblocks': 'rsm-unblocks',
    'rsm-unblocks': 'preserved',
  };
  withProfile(machine, ({ smmNmiPolicy }) => ({ smmNmiPolicy: next[smmNmiPolicy] }));
}

/** RSM unblocks NMIs even if they were blocked before the SMI. */
export function withoutNmisBefore(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Rsm, () => machine.nmi.unblock());
}

/** RSM leaves NMIs blocked as they were in SMM. */
export function blockingAfterRsm(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Rsm, () => {
    machine.u32[EVENTS]! |= EventState.NMI_BLOCKED;
  });
}

/** STI and MOV SS hold SMIs back where they should not, and let them through where they should. */
export function otherSmiShadowRule(machine: Machine): void {
  withProfile(machine, ({ shadowBlocksSmi }) => ({ shadowBlocksSmi: !shadowBlocksSmi }));
}

/** Where an SMI and something of these EVENTS bits wait at one boundary, the SMI comes second. */
export function beforeSmi(bits: number): Broken {
  return function beforeSmi(machine) {
    const step = machine.step.bind(machine);
    machine.step = () => {
      const events = machine.u32[EVENTS]!;
      const both = (events & bits) !== 0 && (events & EventState.SMI_PENDING) !== 0;
      if (both) machine.u32[EVENTS]! &= ~EventState.SMI_PENDING;
      step();
      if (both) machine.u32[EVENTS]! |= EventState.SMI_PENDING;
    };
  };
}

/** A machine check waits for an SMI that is pending. */
export function beforeMachineCheck(machine: Machine): void {
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    if (event.name === 'mc' && machine.u32[EVENTS]! & EventState.SMI_PENDING) machine.step();
    else fire(event);
  };
}

/** The debug exceptions that are pending when an SMI comes are lost. */
export function losingPendingDebug(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Rsm, () => {
    machine.u32[EVENTS]! &= ~EventState.PENDING_BS;
  });
}

/** After RSM the processor never halts. */
export function withoutAutoHalt(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Rsm, () => {
    machine.u32[EVENTS]! &= ~EventState.HALTED;
  });
}

/** After RSM the processor halts whenever it had halted before the SMI. */
export function alwaysHaltingAgain(machine: Machine): void {
  let halted = false;
  afterSmi(machine, (before) => {
    halted = (before[Reg.EVENTS]! & BigInt(EventState.HALTED)) !== 0n;
  });
  afterInstruction(machine, Mnemonic.Rsm, () => {
    if (halted) machine.u32[EVENTS]! |= EventState.HALTED;
  });
}

/** Nothing shuts the processor down. */
export function neverShuttingDown(machine: Machine): void {
  machine.shutDown = () => undefined;
}

/** Both kinds of SMI begin with the same code. */
export function withOneHandler(machine: Machine): void {
  afterSmi(machine, () => {
    machine.cpu.regs.u64[Reg.RIP] = machine.smm!.handler;
  });
}

// The machine check.

/** Changes the EVENTS bits after every #MC that is delivered. */
function changingEventsAfterMachineCheck(set: number, cleared: number): Broken {
  return (machine) =>
    afterDelivery(machine, () => {
      if (machine.happened.vector === Vector.MC) machine.u32[EVENTS] = (machine.u32[EVENTS]! & ~cleared) | set;
    });
}

/** #MC blocks NMIs, as an NMI does. */
export const blockingNmisOnMachineCheck: Broken = changingEventsAfterMachineCheck(EventState.NMI_BLOCKED, 0);

/** MCIP is not set with a machine check. */
export const withoutMcip: Broken = changingEventsAfterMachineCheck(0, EventState.MCIP | EventState.RIPV);

/** INT 18 and the interrupt with vector 18 set MCIP as the machine check does. */
export const withMcipAlways: Broken = changingEventsAfterMachineCheck(EventState.MCIP, 0);

/** A machine check waits while NMIs are blocked, IF is clear or a shadow is there. */
export function maskingMachineChecks(machine: Machine): void {
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    const masked = EventState.NMI_BLOCKED | EventState.STI_SHADOW | EventState.MOV_SS_SHADOW;
    const off = !(machine.u32[2 * Reg.RFLAGS]! & 0x200);
    if (event.name !== 'mc' || !(off || machine.u32[EVENTS]! & masked)) fire(event);
  };
}

/** A second machine check is survived where it should not be, and is not where it should. */
export function otherMcipRule(machine: Machine): void {
  withProfile(machine, (profile) => ({
    machineCheckWhileMcipShutsDown: !profile.machineCheckWhileMcipShutsDown,
  }));
}

/** CR4.MCE is taken for set. */
export function withMceAlways(machine: Machine): void {
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    machine.u32[2 * Reg.CR4]! |= 1 << 6;
    fire(event);
  };
}

/** The registers of the bank are ordinary memory: whatever is written to them is there, and no write is refused. */
export function withWritableBank(machine: Machine): void {
  const { raiseWith } = machine.cpu;
  machine.cpu.raiseWith = (vector, code) => {
    const instruction = machine.peek();
    if (instruction?.mnemonic === Mnemonic.Wrmsr) return true as unknown as false;
    return raiseWith.call(machine.cpu, vector, code);
  };
}

/** Nothing is logged in the bank. */
export function withoutLog(machine: Machine): void {
  const { willWrite } = machine.memory;
  let watched: readonly [number, number, number][] = [];
  machine.memory.willWrite = (word) => {
    watched = [...watched, [word, machine.memory.u32[2 * word]!, machine.memory.u32[2 * word + 1]!]];
    willWrite.call(machine.memory, word);
  };
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    watched = [];
    const bank = machine.memory.hiddenWord('machine check');
    fire(event);
    for (const [word, low, high] of watched) {
      if (word < bank || word >= bank + 8) continue;
      machine.memory.u32[2 * word] = low;
      machine.memory.u32[2 * word + 1] = high;
    }
  };
}

/** Every error is reported, whatever the control registers say. */
export function reportingAll(machine: Machine): void {
  const fire = machine.fire.bind(machine);
  machine.fire = (event) => {
    enableMachineCheck(machine.memory, 1);
    fire(event);
  };
}
