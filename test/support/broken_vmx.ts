/** Machines that are broken on purpose in VMX operation: see broken.ts. */
import { Mnemonic } from 'iced-x86';
import { Reg } from '../../src/cpu/registers.js';
import { EventState, SHADOWS } from '../../src/harness/event_state.js';
import type { Machine } from '../../src/harness/machine.js';
import { currentVmcs, type FieldName, readField, writeField } from '../../src/harness/vmcs.js';
import { Activity, ExitReason, inGuest } from '../../src/harness/vmx.js';
import { afterInstruction, around, type Broken, withProfile } from './broken.js';

const EVENTS = 2 * Reg.EVENTS;
const VALID = 1n << 31n;
const nothing = (): void => undefined;

function named(name: string, broken: Broken): Broken {
  Object.defineProperty(broken, 'name', { value: name });
  return broken;
}

/** Changes fields of the current VMCS before each VM entry. */
function beforeEntry(machine: Machine, change: () => void): void {
  around(machine, nothing, () => {
    const next = machine.peek()?.mnemonic;
    if ((next === Mnemonic.Vmlaunch || next === Mnemonic.Vmresume) && currentVmcs(machine) >= 0) change();
  });
}

/** VM entries take fields for what passes their checks; the guest then runs as if they had been so. */
export function repairing(name: FieldName, change: (value: bigint) => bigint): Broken {
  return named(`repairing ${name}`, (machine) =>
    beforeEntry(machine, () => writeField(machine, name, change(readField(machine, name)))),
  );
}

/** VM entries inject nothing. */
export function withoutInjection(machine: Machine): void {
  beforeEntry(machine, () =>
    writeField(
      machine,
      'ENTRY_INTERRUPTION_INFORMATION',
      readField(machine, 'ENTRY_INTERRUPTION_INFORMATION') & ~VALID,
    ),
  );
}

/** The processor is one on which blocking by STI is the other way round for NMIs. */
export function otherStiRule(machine: Machine): void {
  withProfile(machine, (profile) => ({ stiShadowBlocksNmi: !profile.stiShadowBlocksNmi }));
}

/** Runs `patch` after each VM exit; the guest's fields are saved then. */
function afterExit(machine: Machine, patch: () => void): void {
  around(machine, () => {
    if (machine.happened.vmExit >= 0) patch();
  });
}

/** VM exits leave a field at zero. */
export function clearing(name: FieldName): Broken {
  return named(`clearing ${name}`, (machine) => afterExit(machine, () => writeField(machine, name, 0n)));
}

/** A VM exit because of an NMI leaves NMIs as they were. */
export function exitingUnblocked(machine: Machine): void {
  afterExit(machine, () => {
    machine.u32[EVENTS]! &= ~EventState.NMI_BLOCKED;
  });
}

/** Every VM exit leaves NMIs blocked. */
export function exitingBlocked(machine: Machine): void {
  afterExit(machine, () => {
    machine.u32[EVENTS]! |= EventState.NMI_BLOCKED;
  });
}

/** In a guest the host's latch goes on to block NMIs. */
export function keepingLatchInGuest(machine: Machine): void {
  around(machine, (before) => {
    if (machine.happened.vmEntry) machine.u32[EVENTS]! |= Number(before[Reg.EVENTS]!) & EventState.NMI_BLOCKED;
  });
}

/** Bits of EVENTS never change with a VM entry. */
export function enteringWithout(bits: number): Broken {
  return named(`entering without 0x${bits.toString(16)}`, (machine) =>
    around(machine, () => {
      if (machine.happened.vmEntry) machine.u32[EVENTS]! &= ~bits;
    }),
  );
}

/** Bits of EVENTS are set by each VM entry. */
export function enteringWith(bits: number): Broken {
  return named(`entering with 0x${bits.toString(16)}`, (machine) =>
    around(machine, () => {
      if (machine.happened.vmEntry) machine.u32[EVENTS]! |= bits;
    }),
  );
}

/** What no control has asked for does not exit, and neither does anything else: events are delivered in the guest. */
export function withoutExits(machine: Machine): void {
  around(machine, () => {
    if (inGuest(machine)) {
      machine.u32[EVENTS]! &= ~(
        EventState.INTERRUPT_EXITING |
        EventState.NMI_EXITING |
        EventState.WINDOW_EXITING |
        EventState.VIRTUAL_NMIS
      );
    }
  });
}

/** The exception bitmap selects no exception. */
export function withoutExceptionBitmap(machine: Machine): void {
  beforeEntry(machine, () => writeField(machine, 'EXCEPTION_BITMAP', 0n));
}

/** The exception bitmap selects them all. */
export function withFullExceptionBitmap(machine: Machine): void {
  beforeEntry(machine, () => writeField(machine, 'EXCEPTION_BITMAP', 0xffffffffn));
}

/** An IRET in a guest unblocks nothing. */
export function iretWithoutEffect(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    if (inGuest(machine)) {
      const bits = EventState.VIRTUAL_NMI_BLOCKED | EventState.NMI_BLOCKED;
      machine.u32[EVENTS]! |= Number(before[Reg.EVENTS]!) & bits;
    }
  });
}

/** An IRET in a guest unblocks the host's NMIs. */
export function iretUnblockingHost(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, () => {
    machine.u32[EVENTS]! &= ~EventState.NMI_BLOCKED;
  });
}

/** VMX instructions do not change flags, or memory, or registers: they do nothing. */
export function ignoringVmx(machine: Machine): void {
  around(machine, (before) => {
    const { instruction, delivered } = machine.happened;
    if (!instruction || delivered || !/^(Vm|Inv)/.test(Mnemonic[instruction.mnemonic]!)) return;
    machine.u32.set(new Uint32Array(before.buffer, before.byteOffset, 2 * before.length));
    machine.cpu.regs.u64[Reg.RIP] = instruction.address + BigInt(instruction.length);
  });
}

/** VMX instructions report success. */
export function neverFailing(machine: Machine): void {
  around(machine, () => {
    const { instruction, vmExit } = machine.happened;
    if (instruction && vmExit < 0 && /^Vm/.test(Mnemonic[instruction.mnemonic]!)) machine.u32[2 * Reg.RFLAGS]! &= ~0x41;
  });
}

/** Instructions of the guest's that should exit are executed as by a host. */
export function executingInGuest(machine: Machine): void {
  around(machine, () => {
    const { instruction, vmExit, delivered } = machine.happened;
    if (instruction && vmExit >= 0 && vmExit !== ExitReason.INVALID_GUEST_STATE && !delivered)
      machine.cpu.regs.u64[Reg.RIP] = readField(machine, 'GUEST_RIP') + BigInt(instruction.length);
  });
}

/** VM exits keep the guest's shadows. */
export function exitingInShadow(machine: Machine): void {
  around(machine, (before) => {
    if (machine.happened.vmExit >= 0) machine.u32[EVENTS]! |= Number(before[Reg.EVENTS]!) & SHADOWS;
  });
}

/** A guest is never entered halted. */
export function enteringAwake(machine: Machine): void {
  beforeEntry(machine, () => writeField(machine, 'GUEST_ACTIVITY', BigInt(Activity.ACTIVE)));
}

/** A VM exit loads a register of the host's with something else. */
export function loadingOther(register: number): Broken {
  return named(`a VM exit that loads register ${register} otherwise`, (machine) =>
    afterExit(machine, () => {
      machine.cpu.regs.u64[register] = machine.cpu.regs.u64[register]! ^ 0x10n;
    }),
  );
}

/** A VM exit does not end a guest's debugging: TF and pending traps go on in the host. */
export function exitingWithTraps(machine: Machine): void {
  afterExit(machine, () => {
    machine.u32[EVENTS]! |= EventState.PENDING_BS;
  });
}

/** RSM goes back to the host's mode: what a guest runs under is lost in SMM. */
export function forgettingGuestInSmm(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Rsm, () => {
    machine.u32[EVENTS]! &= ~EventState.VMX_NON_ROOT;
  });
}
