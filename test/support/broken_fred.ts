/** Machines that are broken on purpose in FRED event delivery and in ERETU, ERETS and LKGS: see broken.ts. */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../../src/cpu/cpu.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState, PENDING_DEBUG } from '../../src/harness/event_state.js';
import { FredConfig, FredFrame, SavedSs } from '../../src/harness/fred.js';
import { type Machine, Return } from '../../src/harness/machine.js';
import { afterDelivery, afterInstruction, around, type Broken, readWord } from './broken.js';

const LEVEL = BigInt(FredConfig.LEVEL);
const SIZE = BigInt(FredFrame.SIZE);
const HIGH = 0xffffffffn << 32n;

function named(name: string, broken: Broken): Broken {
  Object.defineProperty(broken, 'name', { value: name });
  return broken;
}

function before(machine: Machine, patch: () => void): void {
  around(machine, () => undefined, patch);
}

function setLevel(machine: Machine, level: bigint): void {
  const { u64 } = machine.cpu.regs;
  u64[Reg.FRED_CONFIG] = (u64[Reg.FRED_CONFIG]! & ~LEVEL) | level;
}

/** Moves the frame that was just pushed so that it ends at `top`. */
function moveFrame(machine: Machine, top: bigint): void {
  const { u64 } = machine.cpu.regs;
  const frame = machine.memory.peek(u64[Reg.RSP]!, FredFrame.SIZE)!;
  u64[Reg.RSP] = top - SIZE;
  machine.memory.load(top - SIZE, frame);
}

/** The machine's registers of these numbers are what they were before each delivery for which `applies`. */
function keeping(name: string, registers: readonly number[], applies: (cpl: number) => boolean = () => true): Broken {
  return named(name, (machine) =>
    afterDelivery(machine, (old) => {
      if (!applies(Number(old[Reg.CS]! & 3n))) return;
      for (const r of registers) machine.cpu.regs.u64[r] = old[r]!;
    }),
  );
}

/** A word of the frame is another one. */
export function inFrame(name: string, offset: number, change: (word: bigint) => bigint): Broken {
  return named(name, (machine) =>
    afterDelivery(machine, () => {
      const at = machine.cpu.regs.u64[Reg.RSP]! + BigInt(offset);
      machine.memory.load64(at, change(readWord(machine, at)));
    }),
  );
}

// Entry and frame.

/** All events come in at the start of the page. */
export function withOneEntry(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[2 * Reg.RIP]! &= FredConfig.PAGE;
  });
}

/** The frame ends at RSP, aligned or not. */
export function withoutFrameAlignment(machine: Machine): void {
  afterDelivery(machine, (old) => {
    if (machine.happened.ist === 0 && !(old[Reg.CS]! & 3n)) moveFrame(machine, old[Reg.RSP]!);
  });
}

/** Nothing stays free below the interrupted RSP. */
export function withoutDecrement(machine: Machine): void {
  before(machine, () => {
    machine.u32[2 * Reg.FRED_CONFIG]! &= ~FredConfig.DECREMENT;
  });
}

/** The frame has no stack level. */
export const withoutSavedLevel = inFrame('without the saved level', FredFrame.CS, (cs) => cs & 0xffffn);
/** The frame says nothing about the event. */
export const withoutInformation = inFrame('without information', FredFrame.SS, (ss) => ss & ~HIGH);
/** The frame has none of the three marks beside SS. */
export const withoutMarks = inFrame('without marks', FredFrame.SS, (ss) => ss & (HIGH | 0xffffn));
/** The frame has all three marks beside SS. */
export const withAllMarks = inFrame('with all marks', FredFrame.SS, (ss) => ss | (7n << 16n));
/** Every exception is said to be nested. */
export const nestedAlways = inFrame('nested always', FredFrame.SS, (ss) => ss | (1n << 58n));
/** No exception is said to be nested. */
export const nestedNever = inFrame('nested never', FredFrame.SS, (ss) => ss & ~(1n << 58n));
/** The frame has no event data. */
export const withoutEventData = inFrame('without event data', FredFrame.EVENT_DATA, () => 0n);
/** The word above the event data is not zero. */
export const withReserved = inFrame('with a reserved word', FredFrame.SIZE - 8, () => 1n);
/** The frame has no error code. */
export const withoutErrorCode = inFrame('without error code', 0, () => 0n);
/** RF is never set in a frame. */
export const withoutRf = inFrame('without RF', FredFrame.RFLAGS, (rflags) => rflags & ~BigInt(Flag.RF));
/** The frame names the instruction, not the one after it. */
export const savingOwnRip = inFrame('saving the own RIP', FredFrame.RIP, (rip) => rip - 2n);
/** The frame has a shorter RSP. */
export const savingHalfRsp = inFrame('saving half of RSP', FredFrame.RSP, (rsp) => rsp & 0xffffffffn);

/** Event data of a #DB is all that DR6 holds. */
export function withDr6AsData(machine: Machine): void {
  afterDelivery(machine, () => {
    const { u64 } = machine.cpu.regs;
    if (machine.happened.vector !== Vector.DB) return;
    machine.memory.load64(u64[Reg.RSP]! + BigInt(FredFrame.EVENT_DATA), u64[Reg.DR6]! ^ 0xffff0ff0n);
  });
}

/** CR2 and DR6 are left alone. */
export const withoutFaultRegisters = keeping('without CR2 and DR6', [Reg.CR2, Reg.DR6]);

/** Delivery leaves the flags that it does not clear with an IDT. */
export function keepingOtherFlags(machine: Machine): void {
  afterDelivery(machine, (old) => {
    machine.u32[2 * Reg.RFLAGS]! |= Number(old[Reg.RFLAGS]! & BigInt(Flag.DF | Flag.AC | Flag.CF));
  });
}

/** Events from ring 3 leave SS null. */
export function nullingSs(machine: Machine): void {
  afterDelivery(machine, (old) => {
    if (old[Reg.CS]! & 3n) machine.cpu.regs.u64[Reg.SS] = 0n;
  });
}

/** Events from ring 0 load CS and SS too. */
export function loadingSegmentsAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    const { u64 } = machine.cpu.regs;
    u64[Reg.CS] = (u64[Reg.STAR]! >> 32n) & 0xfffcn;
    u64[Reg.SS] = u64[Reg.CS]! + 8n;
  });
}

// Stack levels.

/** All exceptions have level 0. */
export function ignoringLevels(machine: Machine): void {
  before(machine, () => {
    machine.cpu.regs.u64[Reg.FRED_STKLVLS] = 0n;
  });
}

/** The level of maskable interrupts is 0. */
export function ignoringInterruptLevel(machine: Machine): void {
  before(machine, () => {
    machine.u32[2 * Reg.FRED_CONFIG]! &= ~(3 << FredConfig.INTERRUPT_LEVEL_SHIFT);
  });
}

/** A stack is begun anew by each event, as an IST stack is. */
export function restartingStacks(machine: Machine): void {
  afterDelivery(machine, () => {
    const { u64 } = machine.cpu.regs;
    const level = Number(u64[Reg.FRED_CONFIG]! & LEVEL);
    if (level > 0 && machine.happened.ist === 0) moveFrame(machine, u64[Reg.FRED_RSP0 + level]!);
  });
}

function configured(machine: Machine): bigint {
  return (machine.cpu.regs.u64[Reg.FRED_STKLVLS]! >> BigInt(2 * machine.happened.vector)) & 3n;
}

/** The level becomes that of the event, also when it is lower. */
export function loweringLevels(machine: Machine): void {
  afterDelivery(machine, () => setLevel(machine, configured(machine)));
}

/** Events from ring 3 come to their level, as those from ring 0. */
export function usingLevelsFromRing3(machine: Machine): void {
  afterDelivery(machine, (old) => {
    if (!(old[Reg.CS]! & 3n)) return;
    setLevel(machine, configured(machine));
    moveFrame(machine, machine.cpu.regs.u64[Reg.FRED_RSP0 + Number(configured(machine))]!);
  });
}

/** Everything that begins in ring 3 comes to level 0. */
export function usingLevel0FromRing3(machine: Machine): void {
  afterDelivery(machine, (old) => {
    if (!(old[Reg.CS]! & 3n)) return;
    setLevel(machine, 0n);
  });
}

/** The stack level that is reported never changes. */
export const keepingConfig = keeping('keeping IA32_FRED_CONFIG', [Reg.FRED_CONFIG]);

// Returns.

/** ERETS leaves the stack level as it is. */
export function keepingLevelOnReturn(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Erets, (old) => setLevel(machine, old[Reg.FRED_CONFIG]! & LEVEL));
}

/** ERETS loads any stack level. */
export function raisingLevelOnReturn(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Erets, (old) => {
    setLevel(machine, (readWord(machine, old[Reg.RSP]! + BigInt(FredFrame.CS)) >> 16n) & 3n);
  });
}

/** Delivery leaves the GS bases alone. */
export const withoutGsOnDelivery = keeping('without GS at delivery', [Reg.GS_BASE, Reg.KERNEL_GS_BASE]);

function exchange(machine: Machine): void {
  const { u64 } = machine.cpu.regs;
  [u64[Reg.GS_BASE], u64[Reg.KERNEL_GS_BASE]] = [u64[Reg.KERNEL_GS_BASE]!, u64[Reg.GS_BASE]!];
}

/** Events from ring 0 exchange the GS bases too. */
export function exchangingGsAlways(machine: Machine): void {
  afterDelivery(machine, (old) => {
    if (!(old[Reg.CS]! & 3n)) exchange(machine);
  });
}

/** ERETU leaves the GS bases alone; ERETS exchanges them. */
export function withOtherGsOnReturn(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Eretu, () => exchange(machine));
  afterInstruction(machine, Mnemonic.Erets, () => exchange(machine));
}

/** SWAPGS works. */
export function withSwapgs(machine: Machine): void {
  around(machine, (old) => {
    const { happened } = machine;
    if (happened.instruction?.mnemonic !== Mnemonic.Swapgs || !happened.delivered) return;
    machine.cpu.regs.u64.set(old);
    machine.cpu.regs.u64[Reg.RIP] = old[Reg.RIP]! + BigInt(happened.instruction.length);
    happened.delivered = false;
    exchange(machine);
  });
}

/** Every ERETU and ERETS unblocks NMIs. */
export function unblockingOnEveryEret(machine: Machine): void {
  around(machine, () => {
    const { returned } = machine.happened;
    if (returned === Return.ERETU || returned === Return.ERETS) machine.u32[2 * Reg.EVENTS]! &= ~EventState.NMI_BLOCKED;
  });
}

/** Where the frame says that an NMI is over, NMIs are unblocked also if the return faults. */
export function unblockingOnFaultingEret(machine: Machine): void {
  around(machine, (old) => {
    const { happened } = machine;
    if (happened.instruction?.mnemonic !== Mnemonic.Erets || !happened.delivered) return;
    const ss = readWord(machine, old[Reg.RSP]! + BigInt(FredFrame.SS));
    if (ss & BigInt(SavedSs.NMI)) machine.u32[2 * Reg.EVENTS]! &= ~EventState.NMI_BLOCKED;
  });
}

/** IRET does not unblock NMIs. */
export function blockingThroughIret(machine: Machine): void {
  around(machine, (old) => {
    if (machine.happened.instruction?.mnemonic !== Mnemonic.Iretq) return;
    machine.u32[2 * Reg.EVENTS]! |= Number(old[Reg.EVENTS]!) & EventState.NMI_BLOCKED;
  });
}

/** ERETS casts no shadow. */
export function withoutShadowOnReturn(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Erets, () => {
    machine.u32[2 * Reg.EVENTS]! &= ~EventState.STI_SHADOW;
  });
}

/** ERETS casts the shadow of STI always. */
export function withShadowOnReturn(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Erets, () => {
    machine.u32[2 * Reg.EVENTS]! |= EventState.STI_SHADOW;
  });
}

/** A return reports no single step. */
export function withoutStepOnReturn(machine: Machine): void {
  around(machine, () => {
    if (machine.happened.returned !== Return.NONE) machine.u32[2 * Reg.EVENTS]! &= ~PENDING_DEBUG;
  });
}

/** A return with TF set reports a single step, whatever it returns from. */
export function withStepOnReturn(machine: Machine): void {
  around(machine, () => {
    const stepping = machine.u32[2 * Reg.RFLAGS]! & Flag.TF;
    if (machine.happened.returned !== Return.NONE && stepping) machine.u32[2 * Reg.EVENTS]! |= EventState.PENDING_BS;
  });
}

/** A return restores half of RSP. */
export function restoringHalfRsp(machine: Machine): void {
  around(machine, (old) => {
    const { u64 } = machine.cpu.regs;
    if (machine.happened.returned === Return.NONE) return;
    u64[Reg.RSP] = (old[Reg.RSP]! & HIGH) | (u64[Reg.RSP]! & 0xffffffffn);
  });
}

/** A return leaves RF clear. */
export function clearingRfOnReturn(machine: Machine): void {
  around(machine, () => {
    if (machine.happened.returned !== Return.NONE) machine.u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
  });
}

/** SYSCALL and SYSENTER save RIP and RFLAGS in RCX and R11. */
export function savingInRegisters(machine: Machine): void {
  afterDelivery(machine, (old) => {
    const { u64 } = machine.cpu.regs;
    u64[Reg.RCX] = old[Reg.RIP]! + 2n;
    u64[Reg.R11] = old[Reg.RFLAGS]!;
  });
}

/** LKGS loads the GS base itself. */
export function loadingGsBase(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Lkgs, () => exchange(machine));
}

/** The registers of FRED take any value. */
export function withoutMsrChecks(machine: Machine): void {
  around(machine, (old) => {
    const { happened } = machine;
    if (happened.instruction?.mnemonic !== Mnemonic.Wrmsr || !happened.delivered) return;
    machine.cpu.regs.u64.set(old);
    machine.cpu.regs.u64[Reg.RIP] = old[Reg.RIP]! + BigInt(happened.instruction.length);
    happened.delivered = false;
  });
}
