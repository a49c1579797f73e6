/** Machines that are broken on purpose in their debug exceptions and shadows: see broken.ts. */
import { Code, Mnemonic, Register } from 'iced-x86';
import { Vector } from '../../src/cpu/cpu.js';
import { Access, registerNumber } from '../../src/cpu/decoder.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { DR6_RESET, Dr6, Dr7 } from '../../src/harness/debug.js';
import { EventState, PENDING_DEBUG, SHADOWS } from '../../src/harness/event_state.js';
import { type Machine, Return } from '../../src/harness/machine.js';
import type { Profile } from '../../src/profiles/profile.js';
import { afterDelivery, afterInstruction, around, type Broken, patchFrame, withProfile } from './broken.js';

const EVENTS = 2 * Reg.EVENTS;
const DR6 = 2 * Reg.DR6;
const DR7 = 2 * Reg.DR7;
const RFLAGS = 2 * Reg.RFLAGS;

const nothing = (): void => undefined;

function before(machine: Machine, patch: () => void): void {
  around(machine, nothing, patch);
}

function named(name: string, broken: Broken): Broken {
  Object.defineProperty(broken, 'name', { value: name });
  return broken;
}

/** The debug exceptions that became pending or were reported at once in the last transition. */
function pend(machine: Machine, bits: number): void {
  machine.u32[EVENTS]! |= bits;
}

/** A knob is the wrong way round. */
export function otherwise(
  knob: {
    [K in keyof Profile]: Profile[K] extends boolean ? K : never;
  }[keyof Profile],
): Broken {
  return named(`the other ${knob}`, (machine) => withProfile(machine, (profile) => ({ [knob]: !profile[knob] })));
}

// Registers.

/** MOV to a debug register stores what it is given. */
export function storingRawDebugRegisters(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Mov, (registers) => {
    const { iced, code } = machine.happened.instruction!;
    if (code !== Code.Mov_dr_r64) return;
    const n = iced.op0Register - Register.DR0;
    const register = [Reg.DR0, Reg.DR1, Reg.DR2, Reg.DR3, Reg.DR6, Reg.DR7, Reg.DR6, Reg.DR7][n]!;
    machine.cpu.regs.u64[register] = registers[registerNumber(iced.op1Register)]!;
  });
}

/** CR4.DE is always `value`. */
export function withDe(value: boolean): Broken {
  return named(`CR4.DE always ${value}`, (machine) =>
    before(machine, () => {
      if (value) machine.u32[2 * Reg.CR4]! |= 8;
      else machine.u32[2 * Reg.CR4]! &= ~8;
    }),
  );
}

/** DR7.GD has no effect. */
export function withoutGeneralDetect(machine: Machine): void {
  before(machine, () => {
    machine.u32[DR7]! &= ~Dr7.GD;
  });
}

/** #DB leaves DR7.GD set. */
export function keepingGd(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    machine.u32[DR7]! |= Number(registers[Reg.DR7]! & BigInt(Dr7.GD));
  });
}

/** #DB disables all breakpoints. */
export function disablingBreakpoints(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.vector === Vector.DB) machine.u32[DR7]! &= ~Dr7.ENABLED;
  });
}

/** DR6 tells of the last #DB only. */
export function clearingDr6(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    const { u64 } = machine.cpu.regs;
    if (machine.happened.vector === Vector.DB) u64[Reg.DR6] = (u64[Reg.DR6]! & ~registers[Reg.DR6]!) | DR6_RESET;
  });
}

/** DR6 is not written. */
export function withoutDr6(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    machine.cpu.regs.u64[Reg.DR6] = registers[Reg.DR6]!;
  });
}

// Instruction breakpoints.

/** Breakpoints on instructions are ignored. */
export function withoutInstructionBreakpoints(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const dr7 = machine.u32[DR7]!;
    let kept = dr7;
    for (let n = 0; n < 4; n++) if (((dr7 >>> (16 + 4 * n)) & 3) === 0) kept &= ~(3 << (2 * n));
    machine.u32[DR7] = kept;
    step();
    if (machine.u32[DR7] === kept) machine.u32[DR7] = dr7;
  };
}

/** Breakpoints are reported after the instruction, also those on instructions. */
export function breakingAfter(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    const { u64 } = machine.cpu.regs;
    if (machine.happened.vector !== Vector.DB || machine.happened.instruction) return;
    if ((registers[Reg.EVENTS]! & BigInt(PENDING_DEBUG)) === 0n && u64[Reg.DR6] !== DR6_RESET) {
      patchFrame(machine, 0n, (rip) => rip + 1n);
    }
  });
}

/** RF has no effect. */
export function ignoringRf(machine: Machine): void {
  before(machine, () => {
    machine.u32[RFLAGS]! &= ~Flag.RF;
  });
}

/** RF in the image that a #DB pushes is the wrong way round. */
export function pushingOtherRf(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.vector === Vector.DB) patchFrame(machine, 16n, (rflags) => rflags ^ BigInt(Flag.RF));
  });
}

/** All breakpoints are enabled whatever L and G say, if any is. */
export function withAllBreakpointsEnabled(machine: Machine): void {
  before(machine, () => {
    if (machine.u32[DR7]! & Dr7.ENABLED) machine.u32[DR7]! |= Dr7.ENABLED;
  });
}

/** Only the global enable bits count. */
export function withGlobalBitsAlone(machine: Machine): void {
  before(machine, () => {
    machine.u32[DR7]! &= ~0x55;
  });
}

// Data breakpoints.

/** Data breakpoints are ignored. */
export function withoutDataBreakpoints(machine: Machine): void {
  machine.cpu.watch = nothing;
}

/** Breakpoints on writes are hit by reads too. */
export function takingReadsForWrites(machine: Machine): void {
  const { watch } = machine.cpu;
  machine.cpu.watch = (high, low, size) => watch(high, low, size, Access.WRITE);
}

/** Breakpoints on accesses are hit by writes alone. */
export function watchingWritesAlone(machine: Machine): void {
  const { watch } = machine.cpu;
  machine.cpu.watch = (high, low, size, access) => {
    if (access & Access.WRITE) watch(high, low, size, access);
  };
}

/** Only the first byte of an access counts. */
export function watchingFirstBytes(machine: Machine): void {
  const { watch } = machine.cpu;
  machine.cpu.watch = (high, low, _size, access) => watch(high, low, 1, access);
}

/** Every breakpoint covers one byte. */
export function ignoringLengths(machine: Machine): void {
  before(machine, () => {
    machine.u32[DR7]! &= ~0xcccc0000;
  });
}

/** Masks of breakpoint addresses have no effect. */
export function ignoringMasks(machine: Machine): void {
  before(machine, () => {
    for (let n = 0; n < 4; n++) machine.cpu.regs.u64[Reg.DR0_MASK + n] = 0n;
  });
}

/** What an instruction touched before it faulted is reported. */
export function reportingFaultedAccesses(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.instruction) pend(machine, EventState.PENDING_B0);
  });
}

/** What a delivery reads and writes is not watched. */
export function ignoringDeliveries(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    machine.u32[EVENTS]! &= ~PENDING_DEBUG | Number(registers[Reg.EVENTS]! & 0xffffffffn);
  });
}

/** Data breakpoints are faults: they are reported at the instruction itself. */
export function reportingBeforehand(machine: Machine): void {
  around(machine, (registers) => {
    const { u64 } = machine.cpu.regs;
    if (machine.u32[EVENTS]! & PENDING_DEBUG && !machine.happened.delivered) u64[Reg.RIP] = registers[Reg.RIP]!;
  });
}

// TF.

/** TF has no effect. */
export function withoutSingleStep(machine: Machine): void {
  around(machine, () => {
    machine.u32[EVENTS]! &= ~EventState.PENDING_BS;
  });
}

/** TF is looked at as the instruction has left it, whichever it is. */
export function lookingAtTfAfter(machine: Machine): void {
  around(machine, () => {
    if (machine.happened.delivered || !machine.happened.instruction) return;
    machine.u32[EVENTS]! &= ~EventState.PENDING_BS;
    if (machine.u32[RFLAGS]! & Flag.TF) pend(machine, EventState.PENDING_BS);
  });
}

/** TF is looked at as it was before the instruction, whichever it is. */
export function lookingAtTfBefore(machine: Machine): void {
  around(machine, (registers) => {
    if (machine.happened.delivered || !machine.happened.instruction) return;
    machine.u32[EVENTS]! &= ~EventState.PENDING_BS;
    if (registers[Reg.RFLAGS]! & BigInt(Flag.TF)) pend(machine, EventState.PENDING_BS);
  });
}

/** INT n and faults are traced like any instruction: the trap comes at their handler. */
export function tracingDeliveries(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    const { instruction } = machine.happened;
    if (instruction && registers[Reg.RFLAGS]! & BigInt(Flag.TF)) pend(machine, EventState.PENDING_BS);
  });
}

// INT1.

/** INT1 sets DR6.BS, as if it were a single step. */
export function reportingInt1(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.instruction?.mnemonic === Mnemonic.Int1) machine.u32[DR6]! |= Dr6.BS;
  });
}

/** INT1 obeys the DPL of its gate, as INT n does: in ring 3 it is ignored here instead of being refused. */
export function refusingInt1(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const instruction = machine.peek();
    if (instruction?.mnemonic !== Mnemonic.Int1 || machine.cpu.cpl === 0) return step();
    Object.assign(machine.happened, { delivered: false, returned: Return.NONE, shutdown: false, instruction });
  };
}

/** INT1 is a fault: its frame names itself. */
export function restartingInt1(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.instruction?.mnemonic === Mnemonic.Int1) patchFrame(machine, 0n, (rip) => rip - 1n);
  });
}

// Shadows and priorities.

/** Runs a step with some bits of EVENTS hidden; those that the step has not set itself come back. */
function hiding(machine: Machine, which: (events: number) => number): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const hidden = machine.u32[EVENTS]! & which(machine.u32[EVENTS]!);
    machine.u32[EVENTS]! &= ~hidden;
    step();
    machine.u32[EVENTS]! |= hidden;
    machine.changed();
  };
}

/** An NMI comes before the traps of the previous instruction. */
export function takingNmisFirst(machine: Machine): void {
  hiding(machine, (events) =>
    events & EventState.NMI_PENDING && !(events & EventState.NMI_BLOCKED) ? PENDING_DEBUG : 0,
  );
}

/** The NMI waits for the #DB handler's IRET. */
export function holdingNmisInDebugHandler(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.vector === Vector.DB) machine.u32[EVENTS]! |= EventState.NMI_BLOCKED;
  });
}

/** MOV SS does not hold debug exceptions back. */
export function withoutDeferring(machine: Machine): void {
  before(machine, () => {
    if (machine.u32[EVENTS]! & PENDING_DEBUG) machine.u32[EVENTS]! &= ~EventState.MOV_SS_SHADOW;
  });
}

/** What a MOV SS has deferred is lost. */
export function losingDeferred(machine: Machine): void {
  before(machine, () => {
    if (machine.u32[EVENTS]! & EventState.MOV_SS_SHADOW) machine.u32[EVENTS]! &= ~PENDING_DEBUG;
  });
}

/** What a MOV SS has deferred stays pending after an INT1. */
export function keepingDeferredAfterInt1(machine: Machine): void {
  afterDelivery(machine, (registers) => {
    if (machine.happened.instruction?.mnemonic === Mnemonic.Int1)
      pend(machine, Number(registers[Reg.EVENTS]!) & PENDING_DEBUG);
  });
}

/** What is pending is lost when another event is delivered. */
export function losingPendingOnDelivery(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[EVENTS]! &= ~PENDING_DEBUG;
  });
}

/** MOV SS is traced like any instruction. */
export function tracingMovSs(machine: Machine): void {
  around(machine, (registers) => {
    if (!(machine.u32[EVENTS]! & EventState.MOV_SS_SHADOW) || registers[Reg.EVENTS]! & BigInt(SHADOWS)) return;
    if (registers[Reg.RFLAGS]! & BigInt(Flag.TF)) pend(machine, EventState.PENDING_BS);
  });
}

/** There is no shadow of MOV SS before an instruction that has a breakpoint. */
export function withoutMovSsShadow(machine: Machine): void {
  before(machine, () => {
    machine.u32[EVENTS]! &= ~EventState.MOV_SS_SHADOW;
  });
}

/** A maskable interrupt comes before the traps of the previous instruction. */
export function takingInterruptsFirst(machine: Machine): void {
  hiding(machine, (events) => (events & EventState.INTR_PENDING && machine.u32[RFLAGS]! & Flag.IF ? PENDING_DEBUG : 0));
}
